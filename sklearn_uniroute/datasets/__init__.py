"""Routing data: public data sets, files, synthetic data, and a pool of small classifiers."""

from sklearn_uniroute.datasets._embed import embed_prompts
from sklearn_uniroute.datasets._embedllm import fetch_embedllm
from sklearn_uniroute.datasets._generators import make_classifier_pool, make_routing_data
from sklearn_uniroute.datasets._load import load_routing_data
from sklearn_uniroute.datasets._model_features import load_model_features
from sklearn_uniroute.datasets._open_llm_leaderboard import fetch_open_llm_leaderboard
from sklearn_uniroute.datasets._prices import call_costs, load_prices
from sklearn_uniroute.datasets._routerbench import fetch_routerbench
from sklearn_uniroute.datasets._sprout import fetch_sprout

__all__ = [
    "call_costs",
    "embed_prompts",
    "fetch_embedllm",
    "fetch_open_llm_leaderboard",
    "fetch_routerbench",
    "fetch_sprout",
    "load_model_features",
    "load_prices",
    "load_routing_data",
    "make_classifier_pool",
    "make_routing_data",
]

"""Routing data: fetched, read from files, drawn at random, or made by a pool of small models."""

from sklearn_uniroute._classifier_pool import make_classifier_pool
from sklearn_uniroute._embed_prompts import embed_prompts
from sklearn_uniroute._embedllm import fetch_embedllm
from sklearn_uniroute._loading import load_routing_data
from sklearn_uniroute._open_llm_leaderboard import fetch_open_llm_leaderboard
from sklearn_uniroute._routerbench import fetch_routerbench
from sklearn_uniroute._sprout import fetch_sprout
from sklearn_uniroute._synthetic import make_routing_data

__all__ = [
    "embed_prompts",
    "fetch_embedllm",
    "fetch_open_llm_leaderboard",
    "fetch_routerbench",
    "fetch_sprout",
    "load_routing_data",
    "make_classifier_pool",
    "make_routing_data",
]

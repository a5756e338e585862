"""Routing data: read from files, drawn at random, or made by a pool of small real models."""

from sklearn_uniroute._classifier_pool import make_classifier_pool
from sklearn_uniroute._loading import load_routing_data
from sklearn_uniroute._synthetic import make_routing_data

__all__ = ["load_routing_data", "make_classifier_pool", "make_routing_data"]

"""Routing data: read from files, drawn at random, or made by a pool of small real models."""

from sklearn_uniroute._synthetic import make_routing_data

__all__ = ["make_routing_data"]

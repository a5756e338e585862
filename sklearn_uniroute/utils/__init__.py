"""Checks of routers, for those who build their own."""

from sklearn_uniroute.utils._router_checks import check_router

__all__ = ["check_router"]

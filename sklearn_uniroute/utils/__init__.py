"""Checks of arguments, optional packages, files and statistics; checks of routers."""

"""Imports of optional dependencies."""

from importlib import import_module
from typing import Any


def import_optional(module: str, extra: str) -> Any:
    """Import a module that an extra of this package installs.

    Parameters
    ----------
    module : str
        Full name of the module.
    extra : str
        Name of the extra that installs the module.

    Returns
    -------
    module : module
        Imported module.

    Raises
    ------
    ImportError
        If the module is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{module.partition('.')[0]} is needed here and not installed; "
            f'pip install "sklearn_uniroute[{extra}]" brings it.'
        ) from error


def import_training() -> None:
    """Import torch and skorch, so that a missing package shows before training starts."""
    import_optional("torch", "torch")
    import_optional("skorch", "torch")

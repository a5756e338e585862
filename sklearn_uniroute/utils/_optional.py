"""Import of packages that not every user needs."""

from importlib import import_module
from typing import Any


def import_optional(module: str, extra: str) -> Any:
    """Import a module that one of the package's extras installs.

    Parameters
    ----------
    module : str
        Full name of the module.
    extra : str
        The extra that installs it.

    Returns
    -------
    module : module

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{module.partition('.')[0]} is needed here and not installed; "
            f'pip install "sklearn_uniroute[{extra}]" brings it.'
        ) from error


def import_training() -> None:
    """Import what networks are trained with, so that what is missing shows before the work."""
    import_optional("torch", "torch")
    import_optional("skorch", "torch")

"""What functions that fetch data sets return, and in which form."""

from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sklearn_uniroute._optional import import_optional


def fetched(
    *,
    y: np.ndarray,
    models: np.ndarray,
    prompts: np.ndarray,
    source: np.ndarray,
    descr: str,
    return_X_y: bool,
    as_frame: bool,
    costs: np.ndarray | None = None,
    cost_unit: str = "cost",
    **more: np.ndarray,
) -> Any:
    """Arrange a data set as the caller asks for it."""
    if as_frame:
        pandas = import_optional("pandas", "pandas")
        y = pandas.DataFrame(y, columns=models)
        prompts = pandas.Series(prompts, name="prompt")
        costs = None if costs is None else pandas.DataFrame(costs, columns=models)
        more = {name: pandas.DataFrame(array, columns=models) for name, array in more.items()}
    if return_X_y:
        return prompts, y
    return Bunch(
        X=None,
        y=y,
        costs=costs,
        models=models,
        prompts=prompts,
        source=source,
        cost_unit=cost_unit,
        DESCR=descr,
        **more,
    )

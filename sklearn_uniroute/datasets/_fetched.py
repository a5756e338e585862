"""Data sets in the form that the caller asks for."""

from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sklearn_uniroute.utils._optional import import_optional


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
    data = Bunch(
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
    if as_frame:
        data = as_frames(data, *more)
    return (data.prompts, data.y) if return_X_y else data


def as_frames(data: Bunch, *more: str) -> Bunch:
    """Let arrays with a column for each model be DataFrames with the models' names."""
    pandas = import_optional("pandas", "pandas")
    frames = {}
    for name in ("y", "costs", *more):
        if data[name] is not None and data[name].ndim == 2:
            frames[name] = pandas.DataFrame(data[name], columns=data.models)
    if data.costs is not None and data.costs.ndim == 1:
        frames["costs"] = pandas.Series(data.costs, index=data.models)
    if data.prompts is not None:
        frames["prompts"] = pandas.Series(data.prompts, name="prompt")
    return Bunch(**data | frames)

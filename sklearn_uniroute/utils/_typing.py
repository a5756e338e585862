"""Types of arguments before they are checked."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

# Name of a model.
Label: TypeAlias = str | int
# Names of the models to choose among.
Pool: TypeAlias = Sequence[Label] | np.ndarray
# Costs per model or per call; a Series or a DataFrame is array-like.
Costs: TypeAlias = ArrayLike | Mapping[Any, float]
RandomState: TypeAlias = int | np.random.RandomState | None
StrPath: TypeAlias = str | PathLike[str]

"""Splits of prompts and models, and estimators that are taken through one."""

import numbers
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state, check_scalar, indexable

from sklearn_uniroute.metrics._curve import has_range, model_means
from sklearn_uniroute.utils._typing import Costs, RandomState
from sklearn_uniroute.utils._validation import check_costs, check_count, check_quality, model_labels

TEST_SIZE = 0.3
TRAIN_SIZE = 0.6


class PoolFold(NamedTuple):
    """Positions of prompts and models in one split.

    Attributes
    ----------
    training, test : ndarray
        Rows of the training and test prompts.
    training_models, unseen_models : ndarray
        Columns of the models to train on, and of those to add.
    validation : ndarray or None
        Rows of the prompts on which unseen models are run; None if the router chooses them among
        the training prompts.
    n_redrawn : int
        Number of draws of models that were discarded because all unseen models had the same cost.
    """

    training: np.ndarray
    test: np.ndarray
    training_models: np.ndarray
    unseen_models: np.ndarray
    validation: Any = None
    n_redrawn: int = 0


PoolFold.__module__ = "sklearn_uniroute.model_selection"


class DynamicPoolSplit:
    """Split prompts and models at random into those to train on and those to test on.

    Parameters
    ----------
    n_splits : int, default=10
        Number of splits.
    test_size : float, default=0.3
        Share of the prompts to test on.
    train_size : float, default=None
        Maximum share of the prompts to train on. By default, all prompts that are left.
    n_validation : int, default=None
        Number of prompts that are set aside to run unseen models on. By default, none: the router
        chooses them among the training prompts.
    model_share : float, default=2/3
        Share of the models to train on. The others are unseen: at least two, not all of the same
        mean cost.
    random_state : int, RandomState instance or None, default=None
        Seed for the splits. No split depends on the number of splits.

    Examples
    --------
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> from sklearn_uniroute.model_selection import DynamicPoolSplit
    >>> data = make_routing_data(n_prompts=10, n_models=6, random_state=0)
    >>> for fold in DynamicPoolSplit(2, random_state=0).split(data.X, data.y, data.costs):
    ...     print(fold.test, fold.unseen_models)
    [4 9 7] [0 2]
    [8 4 1] [0 4]
    """

    __module__ = "sklearn_uniroute.model_selection"

    def __init__(
        self,
        n_splits: int = 10,
        *,
        test_size: float = TEST_SIZE,
        train_size: float | None = None,
        n_validation: int | None = None,
        model_share: float = 2 / 3,
        random_state: RandomState = None,
    ) -> None:
        self.n_splits = n_splits
        self.test_size = test_size
        self.train_size = train_size
        self.n_validation = n_validation
        self.model_share = model_share
        self.random_state = random_state

    def split(self, X: Any, y: ArrayLike, costs: Costs) -> Iterator[PoolFold]:
        """Draw the splits.

        Parameters
        ----------
        X : sequence of length n_prompts
            Prompts.
        y : array-like or DataFrame of shape (n_prompts, n_models)
            Quality of each model on each prompt; NaN where a model was not run.
        costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
                DataFrame
            Cost of each model, or of each call.

        Yields
        ------
        fold : PoolFold
            Rows of the prompts and columns of `y`.

        Raises
        ------
        ValueError
            If there are too few prompts or models, or if all models have the same cost.
        """
        check_count(self.n_splits, "n_splits")
        check_open_share(self.test_size, "test_size")
        if self.train_size is not None:
            check_open_share(self.train_size, "train_size")
        indexable(X, y)
        labels = model_labels(y)
        y = check_quality(y, labels=labels)
        n_prompts, n_models = y.shape
        costs = check_costs(costs, np.arange(n_models) if labels is None else labels, quality=y)
        model_costs = model_means(costs, np.ones(n_prompts))
        n_training_models = count_training_models(model_costs, self.model_share)
        n_validation = 0
        if self.n_validation is not None:
            n_validation = self.n_validation
            check_count(n_validation, "n_validation")
        check_enough_prompts(round(self.test_size * n_prompts), n_validation, n_prompts)
        for seed in split_seeds(self.random_state, self.n_splits):
            fold = draw_split(
                np.random.RandomState(seed),
                n_prompts,
                model_costs,
                n_validation,
                n_training_models,
                test_size=self.test_size,
                train_size=1.0 if self.train_size is None else self.train_size,
            )
            yield fold if n_validation else fold._replace(validation=None)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Get the number of splits.

        Parameters
        ----------
        X, y, groups : object, default=None
            Ignored.

        Returns
        -------
        n_splits : int
            Number of splits.
        """
        return self.n_splits


def split_seeds(random_state: RandomState, n_splits: int) -> np.ndarray:
    """Draw a seed for each split, so that no split depends on those before it."""
    seed: Any = random_state
    if seed is None or isinstance(seed, np.random.RandomState):
        seed = check_random_state(seed).randint(2**31)
    return np.random.SeedSequence(seed).generate_state(n_splits)


def draw_split(
    rng: np.random.RandomState,
    n_prompts: int,
    model_costs: np.ndarray,
    n_validation: int,
    n_training_models: int,
    *,
    test_size: float = TEST_SIZE,
    train_size: float = TRAIN_SIZE,
) -> PoolFold:
    """Draw one split of prompts and models."""
    prompts = rng.permutation(n_prompts)
    n_test = round(test_size * n_prompts)
    n_training = min(round(train_size * n_prompts), n_prompts - n_test - n_validation)
    test, validation, rest = np.split(prompts, [n_test, n_test + n_validation])
    known, unseen, n_redrawn = draw_models(rng, model_costs, n_training_models)
    return PoolFold(rest[:n_training], test, known, unseen, validation, n_redrawn)


def draw_models(
    rng: np.random.RandomState, model_costs: np.ndarray, n_training_models: int
) -> tuple[Any, Any, int]:
    """Draw training and unseen models, until the unseen ones differ in cost.

    Returns positions of both, in order, and the number of discarded draws.
    """
    n_redrawn = 0
    while True:
        models = rng.permutation(len(model_costs))
        known, unseen = np.split(models, [n_training_models])
        # With one cost there is no trade-off to score.
        if has_range(model_costs[unseen]):
            return np.sort(known), np.sort(unseen), n_redrawn
        n_redrawn += 1


def count_training_models(model_costs: np.ndarray, model_share: float) -> int:
    """Count the models to train on, such that some are left, not all of the same cost."""
    check_open_share(model_share, "model_share")
    n_models = len(model_costs)
    n_training_models = int(model_share * n_models)
    if not (1 <= n_training_models <= n_models - 2 and has_range(model_costs)):
        raise ValueError(
            "a comparison needs at least 1 training model and 2 unseen models, not all of the same "
            f"cost; got {n_models} models, {n_training_models} of them for training, with costs "
            f"from {model_costs.min():g} to {model_costs.max():g}. With few models, set "
            "`model_share` (--model-share) lower."
        )
    return n_training_models


def check_enough_prompts(n_test: int, n_validation: int, n_prompts: int) -> None:
    """Refuse a split without training or test prompts."""
    n_training = n_prompts - n_test - n_validation
    if n_test < 1 or n_training < 1:
        raise ValueError(
            f"`test_size` and `n_validation` leave {max(n_training, 0)} training prompts and "
            f"{n_test} test prompts of {n_prompts}; lower them, or bring more prompts."
        )


# Data, and estimators that end in a router


def check_open_share(value: Any, name: str) -> None:
    """Check a constructor parameter that is a number strictly between 0 and 1."""
    check_scalar(value, name, numbers.Real)
    if not 0 < value < 1:
        raise ValueError(f"`{name}` must lie between 0 and 1; got {value}.")

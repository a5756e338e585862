"""Fitting on prompts that come in chunks, or lie in blocks on several machines."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from sklearn_uniroute._numerics._features import NearestCluster, Phi
from sklearn_uniroute._numerics._posterior import added, sum_up
from sklearn_uniroute.routers._chunk_validation import (
    check_chunk_costs,
    check_in_memory,
    check_learns_by_chunks,
    check_no_new_validation_prompts,
    check_nothing_else,
    check_pool_as_fitted,
    check_prices_as_summed,
    check_unsettled,
)
from sklearn_uniroute.routers._cluster import ClusterRouter, check_clusterer
from sklearn_uniroute.routers._dask import fit_blocks
from sklearn_uniroute.routers._unchanged import unchanged_on_error
from sklearn_uniroute.utils._typing import Costs
from sklearn_uniroute.utils._validation import FLOATS, check_prompts, check_quality, select_columns


class ChunkedRouter(ClusterRouter):
    """Base class of routers over clusters that learn from sums over prompts.

    A subclass implements ``_get_sums()`` and ``_set_sums(sums)``, and takes its clusters from
    `_centers` where that is not None.
    """

    clusterer: Any
    n_clusters: int
    cluster_centers_: np.ndarray
    cost_sums_: Any
    noise_: np.ndarray
    information_: Any
    __metadata_request__partial_fit: ClassVar = {"costs": True, "X_val": True}
    _costs_of_sums: Callable[[], Any]
    _centers: Any = None
    _clusterer: Any = None

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        costs: Costs | None = None,
        *,
        X_val: ArrayLike | None = None,
    ) -> Self:
        """Fit on prompts that come in chunks, such as those of a file too large for memory.

        In a first pass, without `y`, chunks settle the clusters: ``MiniBatchKMeans``, or the
        `clusterer`, learns from one after the other. It may be left out: the first chunk with `y`
        then settles them, as `fit` does. Either way this chunk settles all that is no sum: the
        scale of distances, the noise of errors, which prompts serve as validation prompts and on
        which budgets are kept. It should be a random sample of all. Errors and costs of this chunk
        and all others are summed up by cluster, exactly as of all prompts at once.

        Parameters
        ----------
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings.
        y : array-like or DataFrame of shape (n_prompts, n_models), default=None
            Correctness of each training model on each prompt; NaN where a model was not run.
        costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
                DataFrame, default=None
            As for :meth:`fit`. Costs of calls are needed with each chunk, where the first one had
            them; one cost per model with the first chunk only.
        X_val : array-like of shape (n_validation_prompts, n_features), default=None
            The validation prompts, with the first chunk that has `y`. By default the router chooses
            them in that chunk.

        Returns
        -------
        self : object
            The router.

        Raises
        ------
        ValueError
            As :meth:`fit` does; if clusters are to learn once they are settled; if models were
            added or removed, or prices of calls set, since the first chunk with `y`; or if costs
            come in another form. The router then stays as it was.
        TypeError
            If clusters are to learn by chunks and `clusterer` has no `partial_fit`; or for dask
            arrays, which `fit` takes.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_uniroute import KMeansRouter
        >>> from sklearn_uniroute.datasets import make_routing_data
        >>> data = make_routing_data(n_prompts=900, n_models=5, random_state=0)
        >>> router = KMeansRouter(4, random_state=0)
        >>> chunks = np.array_split(np.arange(900), 3)
        >>> for rows in chunks:
        ...     router = router.partial_fit(data.X[rows])
        >>> for rows in chunks:
        ...     router = router.partial_fit(data.X[rows], data.y[rows], costs=data.costs)
        >>> int(router.cluster_sizes_.sum())
        900
        """
        check_in_memory(X, y, costs)
        with unchanged_on_error(self):
            if y is None:
                check_nothing_else(costs, X_val)
                self._learn_clusters(X)
            elif not self.__sklearn_is_fitted__():
                if self._clusterer is not None:
                    check_prompts(self, X)
                self._fit_with(self._clusterer, X, y, costs, X_val)
            else:
                check_no_new_validation_prompts(X_val)
                self._add_chunk(X, y, costs)
        return self

    def _learn_clusters(self, X: ArrayLike) -> None:
        check_unsettled(self.__sklearn_is_fitted__())
        self._check_params()
        clusterer = self._clusterer
        X = validate_data(self, X, reset=clusterer is None, dtype=FLOATS)
        if clusterer is None and self.clusterer is None:
            rng = check_random_state(self.random_state)
            clusterer = MiniBatchKMeans(self.n_clusters, random_state=rng)
        elif clusterer is None:
            check_learns_by_chunks(self.clusterer)
            clusterer = clone(self.clusterer)
        # A copy learns, so that whatever happens to it leaves the router as it was.
        self._clusterer = deepcopy(clusterer).partial_fit(X)

    def _fit_with(
        self,
        clusterer: Any,
        X: ArrayLike,
        y: ArrayLike,
        costs: Costs | None,
        X_val: ArrayLike | None,
    ) -> None:
        """Fit with clusters that were found before, if any."""
        self._centers = None if clusterer is None else check_clusterer(clusterer)
        self.fit(X, y, costs=costs, X_val=X_val)
        del self._centers

    def _add_chunk(self, X: ArrayLike, y: ArrayLike, costs: Costs | None) -> None:
        X = check_prompts(self, X)
        check_pool_as_fitted(self._pool_changed)
        check_prices_as_summed(self.costs_, self._costs_of_sums())
        y = check_quality(
            select_columns(y, self.models_, name="y"),
            n_prompts=len(X),
            n_models=len(self.models_),
            labels=self.models_,
            every_model=False,
        )
        costs = check_chunk_costs(costs, self.models_, y, self.costs_, self.cost_sums_)
        self._set_sums(added(self._get_sums(), sum_up(X, 1 - y, costs, *self._sums_by())))

    def _sums_by(self) -> tuple[NearestCluster, Phi, np.ndarray | None]:
        """Get what sums are taken by."""
        noise = None if self.information_ is None else self.noise_
        return NearestCluster(self.cluster_centers_), self._phi(), noise

    def _fit_blocks(self, X: Any, y: Any, costs: Costs | None, X_val: ArrayLike | None) -> Self:
        with unchanged_on_error(self):
            fit_blocks(self, X, y, costs, X_val)
        return self

"""Fitting on prompts that come in chunks, or lie in blocks on several machines."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.utils import check_random_state

from sklearn_uniroute._numerics._features import NearestCluster, Phi
from sklearn_uniroute._numerics._posterior import ClusterSums, added, sum_up
from sklearn_uniroute.routers._cluster import check_clusterer, offset_to_subtract
from sklearn_uniroute.routers._dask import fit_blocks
from sklearn_uniroute.routers._pool import replaced_at_once, warn_of_unnamed_models
from sklearn_uniroute.utils._typing import Costs
from sklearn_uniroute.utils._validation import (
    as_columns,
    check_costs,
    check_embeddings,
    check_prompts,
    check_quality,
    check_same_order,
    is_dask,
    listing,
    select_columns,
)

# Number of clusters that "auto" takes, if there are enough prompts for each.
_CLUSTERS, _PROMPTS_PER_CLUSTER = 24, 10


class PartialFitMixin:
    """Ability of a router over clusters to learn from sums over prompts.

    The router implements ``_get_sums()`` and ``_set_sums(sums)``, and takes its clusters from
    `_centers` if that is not None.
    """

    __metadata_request__partial_fit: ClassVar = {"costs": True, "X_val": True}
    _get_sums: Callable[[], ClusterSums]
    _set_sums: Callable[[ClusterSums], None]
    _centers: Any
    # The clusterer that learns from chunks without `y`.
    _clusterer: Any = None
    # Offset of the chunks, which is subtracted before it learns.
    _clusterer_offset: Any = None

    def partial_fit(
        self: Any,
        X: ArrayLike,
        y: ArrayLike | None = None,
        costs: Costs | None = None,
        *,
        X_val: ArrayLike | None = None,
    ) -> Any:
        """Fit on one chunk of the prompts, such as part of a file that is too large for memory.

        In an optional first pass, chunks without `y` fit the clusters: ``MiniBatchKMeans``, or the
        `clusterer`, learns from one chunk after the other. Otherwise, the first chunk with `y` fits
        the clusters, as `fit` does. In both cases, this first chunk with `y` also fixes whatever is
        not a sum: the scale of distances, the noise of errors, the validation prompts, and the
        prompts on which budgets are kept. It should be a random sample of all prompts. Errors and
        costs of all chunks are summed by cluster, with the same result as for all prompts at once.

        Parameters
        ----------
        X : array-like of shape (n_prompts, n_features)
            Prompt embeddings.
        y : array-like or DataFrame of shape (n_prompts, n_models), default=None
            Correctness of each training model on each prompt; NaN where a model was not run.
        costs : array-like of shape (n_models,) or (n_prompts, n_models), mapping, Series or \
                DataFrame, default=None
            As for :meth:`fit`. Costs of calls are required with each chunk if the first chunk had
            them. Costs of models are required with the first chunk only.
        X_val : array-like of shape (n_validation_prompts, n_features), default=None
            Validation prompts, passed with the first chunk that has `y`. By default, the router
            chooses them in that chunk.

        Returns
        -------
        self : object
            The router.

        Raises
        ------
        ValueError
            For the same reasons as :meth:`fit`; if a chunk without `y` follows one with `y`; if
            models were added or removed, or costs of calls were set, since the first chunk with
            `y`; or if costs come in another form than before. The router then keeps its state.
        TypeError
            If a chunk has no `y` and `clusterer` has no `partial_fit`, or if `X` is a dask array;
            pass dask arrays to `fit`.

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
        with replaced_at_once(self) as router:
            if y is None:
                check_nothing_else(costs, X_val)
                router._learn_clusters(X)
            elif not router.__sklearn_is_fitted__():
                if router._clusterer is not None:
                    check_prompts(router, X)
                router._fit_with(router._clusterer, X, y, costs, X_val)
            else:
                check_no_new_validation_prompts(X_val)
                router._add_chunk(X, y, costs)
        return self

    def _learn_clusters(self: Any, X: Any) -> None:
        check_unsettled(self.__sklearn_is_fitted__())
        self._check_params()
        clusterer = self._clusterer
        X = check_embeddings(self, X, reset=clusterer is None)
        if clusterer is None and self.clusterer is None:
            rng = check_random_state(self.random_state)
            n_clusters = number_of_clusters(self.n_clusters, len(X), len(X))
            clusterer = MiniBatchKMeans(n_clusters, random_state=rng)
        elif clusterer is None:
            check_learns_by_chunks(self.clusterer)
            clusterer = clone(self.clusterer)
        if self._clusterer is None:
            self._clusterer_offset = offset_to_subtract(clusterer, X)
            self._n_clustered = 0
        if self._clusterer_offset is not None:
            X = X - self._clusterer_offset
        self._n_clustered = self._n_clustered + len(X)
        # A copy learns, so that whatever happens to it leaves the router as it was.
        self._clusterer = deepcopy(clusterer).partial_fit(X)

    def _fit_with(
        self: Any,
        clusterer: Any,
        X: ArrayLike,
        y: ArrayLike,
        costs: Costs | None,
        X_val: ArrayLike | None,
    ) -> None:
        """Fit with clusters that were found before, if any."""
        self._centers = None
        if clusterer is not None:
            self._centers = check_clusterer(clusterer)
            if clusterer is self._clusterer and self._clusterer_offset is not None:
                self._centers = self._centers + self._clusterer_offset
        self._fit(X, y, costs, X_val)
        del self._centers

    def _add_chunk(self: Any, X: ArrayLike, y: ArrayLike, costs: Costs | None) -> None:
        check_same_order(X=X, y=y, costs=costs)
        X = check_prompts(self, X)
        check_pool_as_fitted(self._pool_changed)
        check_prices_as_summed(self.costs_, self._costs_of_sums())
        check_no_new_models(y, self.models_)
        warn_of_unnamed_models(y, self.models_, costs)
        y = check_quality(
            select_columns(as_columns(y), self.models_, name="y"),
            n_prompts=len(X),
            n_models=len(self.models_),
            labels=self.models_,
            every_model=False,
        )
        costs = check_chunk_costs(
            costs,
            self.models_,
            y,
            self.costs_,
            by_call=bool(self._cost_sums),
            recorded=self.cost_representation_ is not None,
        )
        self._set_sums(added(self._get_sums(), sum_up(X, 1 - y, costs, *self._sums_by())))

    def _sums_by(self: Any) -> tuple[NearestCluster, Phi, np.ndarray | None]:
        """Get what sums are taken by."""
        noise = self.noise_ if "information" in self._evidence else None
        return NearestCluster(self.cluster_centers_), self._phi(), noise

    def _fit_blocks(self: Any, X: Any, y: Any, costs: Costs | None, X_val: ArrayLike | None) -> Any:
        with replaced_at_once(self) as router:
            fit_blocks(router, X, y, costs, X_val)
        return self


def number_of_clusters(n_clusters: int | str, n_rows: int, n_prompts: float) -> int:
    """Resolve "auto" for prompts, which may be more or fewer than rows if these have weights."""
    if isinstance(n_clusters, str):
        return max(1, min(_CLUSTERS, n_rows, int(n_prompts // _PROMPTS_PER_CLUSTER)))
    return n_clusters


def check_unsettled(fitted: bool) -> None:
    """Refuse to move clusters once errors are summed by them."""
    if fitted:
        raise ValueError(
            "the clusters are fixed after the first chunk with `y`; pass `y` to add errors, or "
            "start again with a clone."
        )


def check_learns_by_chunks(clusterer: Any) -> None:
    """Refuse a clusterer that needs all prompts at once."""
    if not hasattr(clusterer, "partial_fit"):
        raise TypeError(
            f"`clusterer` {type(clusterer).__name__} has no `partial_fit`; use MiniBatchKMeans, or "
            "pass `y` with the first chunk, on which the clusterer is then fitted."
        )


def check_no_new_validation_prompts(X_val: ArrayLike | None) -> None:
    """Refuse validation prompts once there are some."""
    if X_val is not None:
        raise ValueError(
            "`X_val` goes with the first chunk that has `y`; this router has its validation "
            "prompts already."
        )


def check_no_new_models(y: Any, models: np.ndarray) -> None:
    """Refuse a further chunk with columns of models that were not in the first."""
    new = [label for label in getattr(y, "columns", ()) if label not in set(models.tolist())]
    if new:
        raise ValueError(
            f"`y` has column(s) {listing(new)}, but the first chunk had {listing(models)}; leave "
            "new models out, and add them with add_model after the last chunk."
        )


def check_pool_as_fitted(changed: bool) -> None:
    """Refuse a further chunk for models that have not seen the earlier ones."""
    if changed:
        raise ValueError(
            "models were added, replaced or removed since the first chunk; change the pool after "
            "the last chunk."
        )


def check_prices_as_summed(costs: Any, summed: Any) -> None:
    """Refuse a further chunk if its calls would undo costs that were set."""
    if summed is not None and not np.allclose(costs, summed, rtol=1e-9, atol=0):
        raise ValueError(
            "costs were set since the last chunk, and the calls of this chunk would undo that; set "
            "costs after the last chunk."
        )


def check_in_memory(*arrays: Any) -> None:
    """Refuse dask arrays."""
    if any(map(is_dask, arrays)):
        raise TypeError("`partial_fit` takes one chunk after the other; pass dask arrays to `fit`.")


def check_nothing_else(costs: Costs | None, X_val: ArrayLike | None) -> None:
    """Refuse arguments that go with `y` in a chunk without it."""
    if costs is not None or X_val is not None:
        raise ValueError(
            "`costs` and `X_val` require `y`; a chunk without `y` only fits the clusters."
        )


def check_chunk_costs(
    costs: Costs | None,
    models: np.ndarray,
    quality: np.ndarray,
    known: np.ndarray | None,
    by_call: bool,
    recorded: bool,
) -> np.ndarray | None:
    """Check the costs of a further chunk against the known ones; returns those of calls, if any."""
    if costs is None:
        if by_call:
            raise ValueError(
                "`costs` is missing: the chunks before had the cost of each call; pass those of "
                "this chunk."
            )
        return None
    if known is None:
        raise ValueError(
            "`costs` was given, but the chunks before had none; pass them with every chunk or none."
        )
    costs = check_costs(costs, models, quality=quality, recorded=recorded, every_model=False)
    if (costs.ndim == 2) != by_call:
        before, now = ("call", "model") if by_call else ("model", "call")
        raise ValueError(
            f"`costs` has one cost per {now}, but the chunks before had one per {before}; pass "
            "them in the same form."
        )
    if by_call:
        return costs
    # They may come in single precision.
    if not np.allclose(costs, known, rtol=1e-6, atol=0):
        raise ValueError(
            f"`costs` {listing(costs)} differs from the costs known ({listing(known)}); leave it "
            "out, and change prices by set_cost."
        )
    return None

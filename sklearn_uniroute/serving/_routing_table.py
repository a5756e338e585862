"""Routing tables: routers frozen for the request path."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from hashlib import sha256
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Bunch, check_array

from sklearn_uniroute._numerics._clusters import ClustersSeen
from sklearn_uniroute._numerics._exploration import Exploration, Explorer, content_of
from sklearn_uniroute._numerics._predictors import FeaturePredictor, OperatingPoint, Predictor
from sklearn_uniroute._numerics._routing import rows_by_mask
from sklearn_uniroute._version import __version__
from sklearn_uniroute.serving._decisions import (
    Decision,
    choose_greedily,
    expected_cost,
    explain_choice,
    explore,
)
from sklearn_uniroute.serving._onnx import table_graph
from sklearn_uniroute.serving._requests import (
    check_excluded,
    check_feature_names,
    check_has_clusters,
    check_prompt,
    check_prompt_width,
    check_request_id,
    check_some_left,
    positions_left,
    warn_of_missing_names,
)
from sklearn_uniroute.serving._table_file import (
    can_be_packed,
    check_recorded,
    pack_table,
    unpack_table,
)
from sklearn_uniroute.utils._eligible import check_eligible
from sklearn_uniroute.utils._files import as_json, read_whole, write_whole
from sklearn_uniroute.utils._typing import Label, StrPath
from sklearn_uniroute.utils._validation import (
    FLOATS,
    as_numbers,
    check_same_order,
    check_squares,
)

# No models.
_NONE: tuple[Label, ...] = ()


class RoutingTable:
    """A fitted router and a pool, frozen for the request path.

    Create a table with ``router.routing_table(...)`` or :meth:`load`. It has its own arrays and
    never changes, so threads can share it while the router changes.

    Attributes
    ----------
    models : tuple of str or int
        Names of the models, in the order of the pool: as it was passed, or as in the router. By
        rising cost in tables of files of format 5 and before.
    costs : ndarray of shape (n_models,) or None
        Mean cost of each model; read-only.
    cost_weight : float
        Error that one unit of cost is worth. With ``randomize=True``, and by default for a
        ZeroRouter with a budget, a share of the prompts is routed at a second, lower cost weight.
    n_features : int
        Number of features of an embedding.
    feature_names : tuple of str or None
        Names of the features, if the router was fitted on a DataFrame. Embeddings with names must
        have these, in this order.
    embedder, fingerprint : str or None
        Name and fingerprint of the embedder, as recorded by :meth:`save`.
    exploration : float
        Share of the prompts that is routed by draws from the posterior.
    version : str or None
        Hash of all that decides choices. None for tables that cannot be saved.

    See Also
    --------
    KMeansRouter.routing_table : Creates a table.

    Examples
    --------
    >>> from sklearn_uniroute import KMeansRouter
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_prompts=500, n_models=5, random_state=0)
    >>> router = KMeansRouter(n_clusters=4, random_state=0).fit(data.X, data.y, costs=data.costs)
    >>> table = router.routing_table(cost_weight=0.01)
    >>> table.route(data.X[0])
    1
    >>> table.route(data.X[0], exclude={1})
    2
    >>> bool((table.route_many(data.X) == router.predict(data.X, cost_weight=0.01)).all())
    True
    """

    __module__ = "sklearn_uniroute"

    models: tuple[Label, ...]
    # Models in the order of the predictor: by rising cost, unless costs differ between prompts.
    _names: tuple[Label, ...]
    # Position of each of `models` in the order of the predictor.
    _places: np.ndarray
    cost_weight: float
    n_features: int
    feature_names: tuple[str, ...] | None
    embedder: str | None
    fingerprint: str | None
    exploration: float
    _has_costs: bool
    _clusters_seen: ClustersSeen | None
    _known: dict[str, list[int]]
    _predictor: Any
    _point: OperatingPoint
    # Whether all prompts are routed by predicted error and mean cost at a single cost weight.
    _plain: bool
    # Function that finds the cluster of a prompt, and model for each cluster; None if the cluster
    # alone does not decide.
    _nearest: Callable[[np.ndarray], int]
    _by_cluster: list[Label] | None
    # Scores of single prompts by responsibilities alone; None where more decides.
    _folded: tuple[np.ndarray, np.ndarray, float] | None
    _positions: dict[Label, int]
    # Predicted cost of each model; None where the prompt decides.
    _price_of: dict[Label, float | None] | None
    _shape: tuple[int, ...]
    _weighted: np.ndarray
    # Twice the highest weighted price, which bounds the rounding of scores.
    _largest: float
    # Routes the prompts that are explored; None if none is.
    _explorer: Explorer | None
    # For each cluster, model and probability by each draw, then greedily; None if the cluster alone
    # does not decide.
    _logged_by_cluster: list[list[tuple[Label, float]]] | None

    def __init__(
        self,
        predictor: Predictor,
        models: Sequence[Label],
        *,
        has_costs: bool,
        operating_point: OperatingPoint,
        pool: Sequence[Label] | None = None,
        feature_names: Sequence[str] | None = None,
        clusters: ClustersSeen | None = None,
        known: dict[str, list[int]] | None = None,
        exploration: Exploration | None = None,
        embedder: str | None = None,
        fingerprint: str | None = None,
    ) -> None:
        plain = operating_point.share == 0
        nearest = by_cluster = folded = explorer = logged = price_of = None
        if not has_costs:
            price_of = dict.fromkeys(models)
        elif predictor.shares_costs:
            price_of = dict(zip(models, predictor.prices.tolist(), strict=True))
        if isinstance(predictor, FeaturePredictor):
            if exploration is not None:
                explorer = Explorer(predictor, operating_point, exploration)
            plain &= predictor.shares_costs and predictor.fallback is None
            choices = predictor.choices_by_cluster(operating_point.cost_weight)
            if choices is not None and operating_point.share == 0:
                nearest, by_cluster = predictor.phi.block, [models[place] for place in choices]
                if explorer is not None and plain:
                    logged = explorer.logged_by_cluster(choices, models)
            if plain:
                folded = predictor.folded(operating_point.cost_weight * predictor.prices)
        pool = tuple(models if pool is None else pool)
        place_of = {model: place for place, model in enumerate(models)}
        vars(self).update(
            models=pool,
            _names=tuple(models),
            _places=np.array([place_of[model] for model in pool]),
            _has_costs=has_costs,
            cost_weight=operating_point.cost_weight,
            n_features=predictor.n_features,
            feature_names=None if feature_names is None else tuple(feature_names),
            embedder=embedder,
            fingerprint=fingerprint,
            exploration=0.0 if exploration is None else exploration.share,
            _clusters_seen=clusters,
            _known=known or {},
            _predictor=predictor,
            _point=operating_point,
            _plain=plain,
            _nearest=nearest,
            _by_cluster=by_cluster,
            _folded=folded,
            _positions={model: place_of[model] for model in pool},
            _price_of=price_of,
            _shape=(predictor.n_features,),
            _weighted=operating_point.cost_weight * predictor.prices,
            _largest=2 * operating_point.cost_weight * float(predictor.prices.max()),
            _explorer=explorer,
            _logged_by_cluster=logged,
        )

    @cached_property
    def version(self) -> str | None:
        known = can_be_packed(self._predictor)
        return sha256(pack_table(self, None, None, "")).hexdigest()[:16] if known else None

    @property
    def costs(self) -> np.ndarray | None:
        if not self._has_costs:
            return None
        prices: np.ndarray = self._predictor.prices[self._places]
        prices.flags.writeable = False
        return prices

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a RoutingTable never changes; cannot set {name!r}.")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a RoutingTable never changes; cannot delete {name!r}.")

    def __repr__(self) -> str:
        return (
            f"<RoutingTable of {len(self.models)} models, {self.n_features} features, "
            f"cost_weight={self.cost_weight:g}>"
        )

    def route(
        self, x: ArrayLike, *, exclude: Iterable[Label] = _NONE, eligible: Any = None
    ) -> Label:
        """Choose a model for one prompt.

        Parameters
        ----------
        x : array-like or Series of shape (n_features,)
            Embedding of the prompt.
        exclude : iterable of model names, default=()
            Models not to choose, for example because they are down. If the fallback is excluded,
            prompts unlike the training prompts are routed like all others.
        eligible : array-like of bool, mapping, Series or iterable of model names, default=None
            Models that may be chosen: booleans in the order of `models` or by name, or the names.

        Returns
        -------
        model : str or int
            Name of the chosen model. Ties are broken as in the router's `predict`.

        Raises
        ------
        ValueError
            If `x` is not one finite number per feature, if it has names of features that are not
            those of the table, if `exclude` or `eligible` has an unknown name, or if no model is
            left.
        TypeError
            If `exclude` or `eligible` is a single name or is not iterable.
        """
        x = check_prompt(x, self._shape, self.feature_names)
        if self._explorer is not None:
            draw = self._explorer.draw_of(content_of(x))
            if draw is not None:
                return explore(self, x, self._excluded(exclude, eligible), draw)[0]
        return choose_greedily(self, x, self._excluded(exclude, eligible))

    def route_logged(
        self,
        x: ArrayLike,
        *,
        exclude: Iterable[Label] = _NONE,
        eligible: Any = None,
        request_id: str | None = None,
    ) -> Decision:
        """Choose a model for one prompt, and return what to log.

        A log of decisions, embeddings and feedback goes into `update_from_log` of the router and
        into :func:`sklearn_uniroute.metrics.off_policy_value`.

        Parameters
        ----------
        x : array-like or Series of shape (n_features,)
            Embedding of the prompt.
        exclude : iterable of model names, default=()
            Models not to choose.
        eligible : array-like of bool, mapping, Series or iterable of model names, default=None
            Models that may be chosen, as for :meth:`route`.
        request_id : str, default=None
            Whether to explore, and by which draw, is decided by a hash of this id. By default, by a
            hash of the prompt, so that the same prompt always goes the same way.

        Returns
        -------
        decision : Decision
            Named tuple with the attributes:

            - `model`: name of the chosen model. Without `request_id`, that of :meth:`route`;
            - `propensity`: probability with which the table chooses this model for this prompt,
              over the hashes: 1 if the table does not explore;
            - `explored`: whether a draw chose the model;
            - `cost_weight` and `table_version`: those of the table;
            - `predicted_cost`: expected cost of the call, or None without costs;
            - `request_id`: the id that was passed.

        Raises
        ------
        ValueError
            For the same reasons as :meth:`route`.
        TypeError
            If `request_id` is not a string.

        Examples
        --------
        >>> from sklearn_uniroute import KMeansRouter
        >>> from sklearn_uniroute.datasets import make_routing_data
        >>> data = make_routing_data(n_prompts=300, n_models=5, random_state=0)
        >>> router = KMeansRouter(4, random_state=0).fit(data.X, data.y, costs=data.costs)
        >>> table = router.routing_table(cost_weight=0.001, exploration=0.2)
        >>> decision = table.route_logged(data.X[0])
        >>> decision.model == table.route(data.X[0]), decision.explored
        (True, False)
        """
        x = check_prompt(x, self._shape, self.feature_names)
        check_request_id(request_id)
        draw, excluded = None, self._excluded(exclude, eligible)
        if self._explorer is None:
            model, propensity = choose_greedily(self, x, excluded), 1.0
        else:
            content = content_of(x) if request_id is None else request_id.encode()
            draw = self._explorer.draw_of(content)
            model, propensity = explore(self, x, excluded, draw)
        cost = expected_cost(self, model, x)
        return Decision(
            model, propensity, draw is not None, self.cost_weight, cost, self.version, request_id
        )

    def _excluded(self, exclude: Iterable[Label], eligible: Any = None) -> list[int] | None:
        if exclude is _NONE and eligible is None:
            return None
        return check_excluded(exclude, self._positions, eligible)

    def route_many(
        self,
        X: ArrayLike,
        *,
        exclude: Iterable[Label] = _NONE,
        eligible: ArrayLike | None = None,
    ) -> np.ndarray:
        """Choose a model for each prompt.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_prompts, n_features)
            Prompt embeddings, with the features in the same order as in `fit`.
        exclude : iterable of model names, default=()
            Models not to choose.
        eligible : array-like or DataFrame of shape (n_prompts, n_models), default=None
            Whether each model may be chosen for each prompt, in the order of `models` or by name.

        Returns
        -------
        models : ndarray of shape (n_prompts,)
            Names of the chosen models.

        Raises
        ------
        ValueError
            For the same reasons as :meth:`route`.
        """
        prompts = self._check_prompts(X)
        names = np.array(self._names)
        excluded = self._excluded(exclude)
        if eligible is None:
            return names[self._choose(prompts, positions_left(self._names, excluded))]
        check_same_order(X=X, eligible=eligible)
        allowed = np.empty((len(prompts), len(names)), dtype=bool)
        allowed[:, self._places] = check_eligible(eligible, np.array(self.models), len(prompts))
        allowed &= ~np.isin(np.arange(len(names)), excluded or [])
        chosen = np.empty(len(prompts), dtype=np.intp)
        for rows, among in rows_by_mask(allowed):
            check_some_left(len(among), self.models)
            chosen[rows] = self._choose(prompts[rows], among)
        return names[chosen]

    def explain(self, x: ArrayLike) -> Bunch:
        """Explain the choice for one prompt, as it is without exploration.

        Parameters
        ----------
        x : array-like of shape (n_features,)
            Embedding of the prompt.

        Returns
        -------
        explanation : Bunch
            Dictionary-like object of numbers, names and lists, which can be written as JSON, with
            the attributes:

            - `model`: name of the chosen model;
            - `runner_up`: name of the model that would be chosen without it, or None;
            - `cost_weight`: cost weight of the choice;
            - `low`, `high`: cost weights between which the choice stays the same; `high` is None
              if there is no upper end;
            - `cluster`: cluster that the prompt belongs to most, or None;
            - `far`: whether the prompt is so unlike the training prompts that it went to the
              fallback;
            - `models`: list of the names of the models;
            - `error`, `cost`, `score`: lists of the predicted error, the predicted cost (0 without
              costs), and the error plus weighted cost of each model;
            - `n_errors`, `n_features`: lists of the number of errors, and of features on its card,
              by which each model is known; None if the router does not count them.

        Raises
        ------
        ValueError
            If `x` is not one finite number per feature.

        Examples
        --------
        >>> from sklearn_uniroute import ZeroRouter
        >>> X, y = [[0.0], [1.0]], [[0, 1], [1, 1]]
        >>> router = ZeroRouter(random_state=0).fit(X, y, costs=[1, 5])
        >>> explanation = router.routing_table(cost_weight=0.2).explain([3.0])
        >>> explanation.model, explanation.runner_up, explanation.low
        (0, 1, 0.125)
        """
        x = check_prompt(x, self._shape, self.feature_names)
        told = {**explain_choice(self._predictor, self._point, self._names, x), **self._known}
        for name in ("error", "cost", "score", "n_errors", "n_features"):
            values = told.get(name)
            told[name] = values if values is None else [values[place] for place in self._places]
        return Bunch(**as_json(told), models=list(self.models))

    def save(
        self, path: StrPath, *, embedder: str | None = None, fingerprint: str | None = None
    ) -> None:
        """Write the table to a file.

        The file is an .npz archive of arrays and a JSON header. Loading it never runs code. The
        file is written beside the target and renamed, so a reader finds either the old file or the
        new one.

        Parameters
        ----------
        path : str or path-like
            Path of the file. An existing file is replaced.
        embedder : str, default=None
            Name of the embedder that computes the embeddings. By default, the one of the table.
        fingerprint : str, default=None
            Anything that changes with the embedder, such as its revision or a hash of its weights.
            By default, the one of the table.

        Raises
        ------
        TypeError
            If `embedder` or `fingerprint` is not a string, if the metric of the router is a
            function, or if the router is one of your own.
        """
        recorded = {
            "embedder": self.embedder if embedder is None else embedder,
            "fingerprint": self.fingerprint if fingerprint is None else fingerprint,
        }
        write_whole(path, self._packed(**recorded))

    def to_onnx(self) -> Any:
        """Convert the table to an ONNX graph, for gateways that are not in Python.

        The input `embeddings` has shape (n_prompts, n_features), in single precision, for any
        number of prompts. The output `model`, of shape (n_prompts,), holds positions in `models`.
        The output `scores`, of shape (n_prompts, n_models), holds predicted errors plus weighted
        costs. The metadata holds the names of the models, as JSON under the key "models", and those
        of the features under the key "feature_names", if they have names.

        Returns
        -------
        model : onnx.ModelProto
            ONNX model. Save it with ``onnx.save``.

        Raises
        ------
        ImportError
            If onnx is not installed.
        NotImplementedError
            If the router is neither linear nor over clusters, if it has costs by cluster or a
            fallback, or if the table explores or mixes two cost weights to meet a budget.

        Notes
        -----
        Features are computed in single precision. If the cost weight is so high that differences in
        error are lost to rounding, the first of several models with the same cost is chosen.
        """
        return table_graph(self)

    @classmethod
    def load(
        cls,
        path: StrPath,
        *,
        n_features: int | None = None,
        embedder: str | None = None,
        fingerprint: str | None = None,
    ) -> Self:
        """Read a table from a file.

        Parameters
        ----------
        path : str or path-like
            Path of the file.
        n_features : int, default=None
            Expected number of features of an embedding. By default, it is not checked.
        embedder, fingerprint : str, default=None
            Expected name and fingerprint of the embedder. By default, they are not checked.

        Returns
        -------
        table : RoutingTable
            Table that chooses as the saved table does.

        Raises
        ------
        FileNotFoundError
            If the file does not exist.
        ValueError
            If the file is damaged, is not a routing table, was written by a newer version, or
            disagrees with the arguments.
        """
        content = unpack_table(read_whole(path), path)
        check_recorded(content.predictor.n_features, n_features, "n_features", path)
        check_recorded(content.embedder, embedder, "embedder", path)
        check_recorded(content.fingerprint, fingerprint, "fingerprint", path)
        return cls(**content._asdict())

    def _packed(self, embedder: str | None = None, fingerprint: str | None = None) -> bytes:
        return pack_table(self, embedder, fingerprint, __version__)

    def _check_prompts(self, X: Any) -> np.ndarray:
        warn_of_missing_names(X, self.feature_names)
        check_feature_names(X, self.feature_names, "X")
        prompts: np.ndarray = check_array(as_numbers(X), dtype=FLOATS, input_name="X")
        check_prompt_width(prompts, self.n_features)
        check_squares(prompts)
        return prompts

    def _clusters(self) -> tuple[np.ndarray, ClustersSeen]:
        """Centres of the clusters, and how the training prompts lie in them."""
        centers = getattr(getattr(self._predictor, "phi", None), "centers", None)
        check_has_clusters(centers, self._clusters_seen)
        return centers, self._clusters_seen  # type: ignore[return-value]

    def _choose(self, X: np.ndarray, among: np.ndarray | None) -> np.ndarray:
        chosen = self._point.choose(self._predictor, X, among)
        return chosen if self._explorer is None else self._explorer.choose(X, among, chosen)

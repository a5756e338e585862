"""Models that are known from battles with other models."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute._numerics._posterior import Prior
from sklearn_uniroute._numerics._preferences import (
    Battles,
    check_preference_scale,
    preference_evidence,
    preference_scale,
)
from sklearn_uniroute.routers._pool import check_cost, put_rows, replaced_at_once
from sklearn_uniroute.utils._typing import Label
from sklearn_uniroute.utils._validation import (
    check_names_differ,
    check_new_name,
    check_prompts,
    check_same_order,
    is_hashable,
    listing,
)

_OUTCOMES = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5}


class PreferencesMixin:
    """Ability of a router with a posterior to learn of new models from battles."""

    _prior: Callable[[], Prior]
    _posterior_rows: Callable[[Prior, np.ndarray, np.ndarray], dict[str, Any]]

    def add_models_from_preferences(
        self: Any,
        X: ArrayLike,
        model_a: ArrayLike,
        model_b: ArrayLike,
        winner: ArrayLike,
        costs: Any = None,
    ) -> Any:
        """Add models from battles, in which one of two models answers a prompt better.

        Battles between known models set the scale on which errors decide battles. All new models
        are placed on that scale.

        Parameters
        ----------
        X : array-like of shape (n_battles, n_features)
            Embedding of the prompt of each battle.
        model_a, model_b : array-like of shape (n_battles,)
            Names of the two models of each battle, known or new. Some battles must be between known
            models.
        winner : array-like of shape (n_battles,)
            "model_a", "model_b" or "tie".
        costs : mapping or Series, default=None
            Mean cost per prompt of each new model, by name, in the unit of the other costs.
            Required if the router has costs.

        Returns
        -------
        self : object
            The router.

        Raises
        ------
        ValueError
            If lengths disagree, if an outcome is none of the three, if no model is new, if a cost
            is missing, or if the better of two known models does not win more often. The router
            then keeps its state.
        TypeError
            If a name is not of the same type as the names of the other models.

        References
        ----------
        "Universal Model Routing for Efficient LLM Inference", arXiv 2502.08773, appendix G.4.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_uniroute import KMeansRouter
        >>> from sklearn_uniroute.datasets import make_routing_data
        >>> data = make_routing_data(n_prompts=3000, n_models=5, random_state=0)
        >>> router = KMeansRouter(random_state=0)
        >>> router = router.fit(data.X[:1000], data.y[:1000, :4], costs=data.costs[:4])
        >>> X, y = data.X[1000:], data.y[1000:]
        >>> rng = np.random.RandomState(0)
        >>> a, b = np.array([rng.permutation(5)[:2] for _ in X]).T
        >>> margin = y[np.arange(2000), a] - y[np.arange(2000), b]
        >>> winner = np.array(["model_b", "tie", "model_a"])[margin.astype(int) + 1]
        >>> router.add_models_from_preferences(X, a, b, winner, costs={4: data.costs[4]}).models_
        array([0, 1, 2, 3, 4])
        """
        check_is_fitted(self)
        check_same_order(X=X, model_a=model_a, model_b=model_b, winner=winner)
        X = check_prompts(self, X)
        new, first, second, outcome = check_battles(model_a, model_b, winner, len(X), self.models_)
        costs = check_new_costs(costs, new, has_costs=self.costs_ is not None)
        features = self._dense_features(X).astype(np.float64)
        battles = Battles(features, first, second, outcome)
        n_known = len(self.models_)
        among_known = Battles(*(part[np.maximum(first, second) < n_known] for part in battles))
        scale, dispersion = 0.0, 1.0
        if len(among_known.outcome):
            scale, dispersion = preference_scale(among_known, self.representation_)
        check_preference_scale(len(among_known.outcome), scale)
        positions = n_known + np.arange(len(new))
        room = np.zeros((len(new), features.shape[1]))
        evidence_of_new = preference_evidence(
            battles,
            np.concatenate([self.representation_, room]),
            self._prior(),
            positions,
            scale,
            dispersion,
        )
        labels = self._assign(X)
        with replaced_at_once(self) as router:
            for name, cost, position, information, moment in zip(
                new, costs, positions, *evidence_of_new, strict=True
            ):
                rows = router._posterior_rows(router._prior(), information, moment)
                if "information" not in router._evidence:
                    rows = {"representation_": rows["representation_"]}
                # In averages by cluster, a battle counts like an error.
                fought = labels[(first == position) | (second == position)]
                counts = np.bincount(fought, minlength=router._n_clusters).astype(np.float64)
                rows |= {
                    "models_": name,
                    "error_sums": counts * rows["representation_"][: router._n_clusters],
                    "error_counts": counts,
                }
                rows |= router._card_rows(None)
                put_rows(router, {**rows, **router._cost_rows(cost)}, int(position))
        return self


def check_new_costs(costs: Any, new: list[Label], *, has_costs: bool) -> list[Any]:
    """Check the costs of added models, by name: one for each, and no other."""
    costs = {} if costs is None else costs
    if not (isinstance(costs, Mapping) or (hasattr(costs, "index") and hasattr(costs, "items"))):
        raise ValueError(
            f"`costs` must name the new models, as a mapping or a Series; got {costs!r}."
        )
    costs = dict(costs)
    others = [label for label in costs if label not in new]
    if others:
        raise ValueError(
            f"`costs` names model(s) {listing(others)}, which these battles do not add; use "
            "`set_cost` for known models."
        )
    return [check_cost(costs.get(label), label, has_costs=has_costs) for label in new]


def check_battles(
    model_a: Any, model_b: Any, winner: Any, n_prompts: int, models: np.ndarray
) -> tuple[list[Label], np.ndarray, np.ndarray, np.ndarray]:
    """Check battles, and return the names of new models, positions of both sides, and outcomes.

    The positions of new models follow the known models, in the order of the battles.
    """
    sides = {"model_a": model_a, "model_b": model_b, "winner": winner}
    for argument, values in sides.items():
        if np.ma.is_masked(values):
            raise ValueError(f"`{argument}` has masked entries; leave these battles out.")
        if isinstance(values, str) or np.ndim(values) != 1 or len(values) != n_prompts:
            raise ValueError(
                f"`{argument}` must have one entry for each of the {n_prompts} prompts; got shape "
                f"{np.shape(values)}."
            )
    known = {label: position for position, label in enumerate(models.tolist())}
    position, new = dict(known), []
    met = [*np.asarray(model_a, dtype=object), *np.asarray(model_b, dtype=object)]
    for label in met:
        label = label.item() if isinstance(label, np.generic) else label
        if label is None:
            raise ValueError("`model_a` or `model_b` is None in a battle; leave this battle out.")
        if not (is_hashable(label) and label in position):
            position[check_new_name(label, models)] = len(position)
            new.append(label)
    check_names_differ(position, "these battles")
    if not new:
        raise ValueError(
            f"all models of these battles are known: {listing(known)}; battles only add new "
            "models. Include battles of a new model."
        )
    first, second = np.array([position[label] for label in met]).reshape(2, -1)
    if np.any(first == second):
        raise ValueError(
            f"battle {np.flatnonzero(first == second)[0]} is between a model and itself; leave it "
            "out."
        )
    unknown = [label for label in winner if not (is_hashable(label) and label in _OUTCOMES)]
    if unknown:
        raise ValueError(f"`winner` must be one of {listing(_OUTCOMES)}; got {unknown[0]!r}.")
    return new, first, second, np.array([_OUTCOMES[label] for label in winner])

"""The pool of a fitted router to look at: as a DataFrame, and in notebooks."""

from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_uniroute.utils._optional import import_optional

# Models shown in a notebook.
_SHOWN = 50


class PoolViewMixin:
    """Views of what a fitted router knows of its models."""

    models_: np.ndarray
    costs_: Any
    _calibration: Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]
    _calibration_error: Callable[..., np.ndarray]
    __sklearn_is_fitted__: Callable[[], bool]

    def pool_frame(self) -> Any:
        """Show the pool as a DataFrame.

        Returns
        -------
        frame : DataFrame of shape (n_models, 1 or 2)
            One row per model, by name, in the order in which the router came to know them: `cost`,
            its mean cost, if there are costs; and `error`, the mean of its predicted errors over
            the prompts that the router knows.

        Raises
        ------
        ImportError
            If pandas is not installed.

        Examples
        --------
        >>> from sklearn_uniroute import KMeansRouter
        >>> from sklearn_uniroute.datasets import make_routing_data
        >>> data = make_routing_data(n_prompts=500, n_models=3, random_state=0)
        >>> router = KMeansRouter(random_state=0).fit(data.X, data.y, costs=data.costs)
        >>> router.pool_frame().round(2).to_dict("index")[2]
        {'cost': 100.0, 'error': 0.15}
        """
        pandas = import_optional("pandas", "pandas")
        check_is_fitted(self)
        return pandas.DataFrame(
            self._pool_columns(), index=pandas.Index(self.models_, name="model")
        )

    def _pool_columns(self) -> dict[str, np.ndarray]:
        index = np.arange(len(self.models_))
        weights = self._calibration(index)[-1]
        columns = {} if self.costs_ is None else {"cost": self.costs_}
        return {**columns, "error": weights @ self._calibration_error(index)}

    def _repr_html_inner(self) -> str:
        inner: str = super()._repr_html_inner()  # type: ignore[misc]
        return inner + self._pool_html()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        if "text/html" in bundle:
            bundle["text/html"] += self._pool_html()
        return bundle

    def _pool_html(self) -> str:
        """Write the pool as a table; nothing before the router is fitted."""
        if not self.__sklearn_is_fitted__():
            return ""
        columns = self._pool_columns()
        names = [escape(str(name)) for name in self.models_[:_SHOWN]]
        head = "".join(f"<th>{name}</th>" for name in ("model", *columns))
        rows = "".join(
            f"<tr><th>{name}</th>{''.join(f'<td>{value:.4g}</td>' for value in values)}</tr>"
            for name, *values in zip(
                names, *(column[:_SHOWN] for column in columns.values()), strict=True
            )
        )
        more = len(self.models_) - len(names)
        caption = f"<caption>and {more} more models</caption>" if more else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

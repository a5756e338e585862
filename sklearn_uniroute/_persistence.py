"""Files of fitted routers, through skops: nothing in them is a pickle."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline

from sklearn_uniroute._attributes import AttributeEncoder
from sklearn_uniroute._version import __version__
from sklearn_uniroute.routers._base import BaseRouter
from sklearn_uniroute.utils._files import write_whole
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._typing import StrPath
from sklearn_uniroute.utils._validation import listing

# Raised with every change that older versions cannot read.
FORMAT = 1


def save_router(router: Any, path: StrPath, *, trusted: Iterable[str] = ()) -> None:
    """Write a router, or a pipeline that ends in one, to a file.

    The file holds the whole state of the router, so models can be added after it is loaded. For the
    request path, ``router.routing_table().save(path)`` writes a smaller file. The file is written
    beside the target and renamed, so a reader finds the old file or the new one.

    Parameters
    ----------
    router : router or Pipeline
        Router, fitted or not, of estimators of this package, of scikit-learn, and of `trusted`
        types.
    path : str or path-like
        Path of the file. An existing file is replaced.
    trusted : iterable of str, default=()
        Further types that the file may hold, as "module.Class", such as a router of your own.
        :func:`load_router` must be given them as well.

    Raises
    ------
    TypeError
        If `router` is no router, or if it holds any other type, such as a callback or a function.
    ImportError
        If skops is not installed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_uniroute import KMeansRouter, load_router, save_router
    >>> from sklearn_uniroute.datasets import make_routing_data
    >>> data = make_routing_data(n_prompts=500, n_models=5, random_state=0)
    >>> router = KMeansRouter(random_state=0).fit(data.X, data.y, costs=data.costs)
    >>> with TemporaryDirectory() as folder:
    ...     save_router(router, Path(folder) / "router.skops")
    ...     loaded = load_router(Path(folder) / "router.skops")
    >>> bool((loaded.predict(data.X) == router.predict(data.X)).all())
    True
    """
    io = import_optional("skops.io", "persist")
    known = _trusted(trusted)
    if not _is_router(router):
        raise TypeError(
            f"`router` must be a router, or a Pipeline that ends in one; got {router!r}."
        )
    content = io.dumps({"format": FORMAT, "package_version": __version__, "router": router})
    foreign = sorted(set(io.get_untrusted_types(data=content)) - known)
    if foreign:
        raise TypeError(
            f"`router` holds types that load_router would not trust: {listing(foreign)}; fit it "
            "without them, or name them in `trusted` here and there."
        )
    write_whole(path, content)


def load_router(path: StrPath, *, trusted: Iterable[str] = ()) -> Any:
    """Read a router from a file.

    Parameters
    ----------
    path : str or path-like
        File written by :func:`save_router`. Nothing in it is run. Types other than those of this
        package, scikit-learn, NumPy, SciPy and `trusted` are refused.
    trusted : iterable of str, default=()
        Further types that the file may hold, as "module.Class".

    Returns
    -------
    router : router or Pipeline
        Router that predicts as the saved one does.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, holds no router, holds other types, or is of a newer version.
    ImportError
        If skops is not installed.
    """
    io = import_optional("skops.io", "persist")
    known = _trusted(trusted)
    content = Path(path).read_bytes()
    try:
        foreign = sorted(set(io.get_untrusted_types(data=content)) - known)
        saved = None if foreign else io.loads(content, trusted=sorted(known))
    # Whatever is wrong with a file, its bytes are to blame.
    except Exception as error:
        raise ValueError(
            f"{path} is damaged, or holds no router ({type(error).__name__}: {error}); save the "
            "router again."
        ) from error
    if foreign:
        raise ValueError(
            f"{path} holds types that are not trusted: {listing(foreign)}. If they are yours, name "
            "them in `trusted`; otherwise do not load the file."
        )
    if not (isinstance(saved, dict) and type(saved.get("format")) is int and saved["format"] > 0):
        raise ValueError(f"{path} holds no router; it was not written by save_router.")
    if saved["format"] > FORMAT:
        raise ValueError(
            f"{path} was written by version {saved.get('package_version')}, in a format that this "
            f"version, {__version__}, does not know; upgrade sklearn_uniroute."
        )
    if not _is_router(saved.get("router")):
        raise ValueError(f"{path} holds no router; it was not written by save_router.")
    return saved["router"]


def _trusted(further: Iterable[str]) -> set[str]:
    """Types that a file may hold beyond those that skops trusts itself."""
    if isinstance(further, str) or not isinstance(further, Iterable):
        further = [further]
    further = list(further)
    odd = [name for name in further if not isinstance(name, str)]
    if odd:
        raise TypeError(
            f"`trusted` must name types, as 'module.Class'; got {odd[0]!r}. For a class of your "
            "own, pass f'{Class.__module__}.{Class.__qualname__}'."
        )
    kinds = [AttributeEncoder, *_subclasses(BaseRouter)]
    own = {f"{kind.__module__}.{kind.__qualname__}" for kind in kinds}
    return {name for name in own if name.startswith("sklearn_uniroute.")} | set(further)


def _subclasses(kind: type) -> Iterator[type]:
    one: type
    for one in kind.__subclasses__():
        yield one
        yield from _subclasses(one)


def _is_router(estimator: Any) -> bool:
    while isinstance(estimator, Pipeline) and estimator.steps:
        estimator = estimator.steps[-1][1]
    return isinstance(estimator, BaseRouter)

"""Files of fitted routers, through skops: nothing in them is a pickle."""

from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline

from sklearn_uniroute._attributes import AttributeEncoder
from sklearn_uniroute._version import __version__
from sklearn_uniroute.routers._base import BaseRouter
from sklearn_uniroute.routers._hybrid import HybridRouter
from sklearn_uniroute.routers._kmeans import KMeansRouter
from sklearn_uniroute.routers._learned_map import LearnedMapRouter
from sklearn_uniroute.routers._linear import LinearRouter
from sklearn_uniroute.routers._matrix_factorization import MatrixFactorizationRouter
from sklearn_uniroute.routers._mlp import MLPRouter
from sklearn_uniroute.routers._neighbors import KNeighborsRouter
from sklearn_uniroute.routers._zero import ZeroRouter
from sklearn_uniroute.utils._files import write_whole
from sklearn_uniroute.utils._optional import import_optional
from sklearn_uniroute.utils._typing import StrPath
from sklearn_uniroute.utils._validation import listing

# Raised with every change that older versions cannot read.
FORMAT = 1
# What a file may hold beyond what skops trusts itself: scikit-learn, NumPy and SciPy.
_TRUSTED = {
    f"{kind.__module__}.{kind.__qualname__}"
    for kind in (
        AttributeEncoder,
        HybridRouter,
        KMeansRouter,
        KNeighborsRouter,
        LearnedMapRouter,
        LinearRouter,
        MatrixFactorizationRouter,
        MLPRouter,
        ZeroRouter,
    )
}


def save_router(router: Any, path: StrPath) -> None:
    """Write a router, or a pipeline that ends in one, to a file.

    The file holds all that the router is, so that models can be added to it once it is read; for
    the request path, ``router.routing_table().save(path)`` is smaller. It is written beside the
    target and renamed, so that a reader finds the old file or the new.

    Parameters
    ----------
    router : router or Pipeline
        Fitted or not, of this package's and scikit-learn's estimators alone.
    path : str or path-like
        The file; one that is there is replaced.

    Raises
    ------
    TypeError
        If it is no router, or holds anything else, such as a callback or a function.
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
    if not _is_router(router):
        raise TypeError(
            f"`router` must be a router, or a Pipeline that ends in one; got {router!r}."
        )
    content = io.dumps({"format": FORMAT, "package_version": __version__, "router": router})
    foreign = sorted(set(io.get_untrusted_types(data=content)) - _TRUSTED)
    if foreign:
        raise TypeError(
            f"`router` holds what would not be trusted when it is read: {listing(foreign)}; fit it "
            "without, or keep these apart."
        )
    write_whole(path, content)


def load_router(path: StrPath) -> Any:
    """Read a router from a file.

    Parameters
    ----------
    path : str or path-like
        The file, as :func:`save_router` has written it. Nothing in it is run, and types other than
        this package's, scikit-learn's, NumPy's and SciPy's are refused.

    Returns
    -------
    router : router or Pipeline
        It predicts as the saved one does.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, holds no router or other types, or is of a newer version.
    ImportError
        If skops is not installed.
    """
    io = import_optional("skops.io", "persist")
    content = Path(path).read_bytes()
    try:
        foreign = sorted(set(io.get_untrusted_types(data=content)) - _TRUSTED)
        saved = None if foreign else io.loads(content, trusted=sorted(_TRUSTED))
    # Whatever is wrong with a file, its bytes are to blame.
    except Exception as error:
        raise ValueError(
            f"{path} is damaged, or holds no router ({type(error).__name__}: {error}); save the "
            "router again."
        ) from error
    if foreign:
        raise ValueError(
            f"{path} holds types that are not trusted: {listing(foreign)}; it was not written by "
            "save_router."
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


def _is_router(estimator: Any) -> bool:
    if isinstance(estimator, Pipeline) and estimator.steps:
        estimator = estimator.steps[-1][1]
    return isinstance(estimator, BaseRouter)

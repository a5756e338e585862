"""Embeddings of prompts, batch by batch."""

from collections.abc import Callable, Iterable, Sequence
from pickle import PicklingError
from typing import Any

import joblib
import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.validation import check_memory

from sklearn_uniroute.utils._validation import FLOATS, check_count


def embed_prompts(
    texts: Sequence[str],
    encoder: Any,
    *,
    batch_size: int = 256,
    memory: Any = None,
    encoder_name: str | None = None,
    progress: Callable[[Iterable[Any]], Iterable[Any]] | None = None,
) -> np.ndarray:
    """Embed prompts in batches, and optionally cache the embeddings on disk.

    Parameters
    ----------
    texts : sequence of str of length n_prompts
        Texts of the prompts.
    encoder : callable or transformer
        Function from a list of texts to an array of shape (n_texts, n_features), such as the
        `encode` method of a sentence-transformers model, or a fitted scikit-learn transformer.
    batch_size : int, default=256
        Number of texts passed to the encoder at a time.
    memory : str or joblib.Memory, default=None
        Folder to cache embeddings in. Batches that the same encoder has embedded before are read
        from the cache, so an interrupted run resumes where it stopped. A transformer is the same if
        its class, parameters and fitted state are, and a method of a torch module if the weights
        and plain settings of the module are. By default, nothing is cached.
    encoder_name : str, default=None
        Name and version of the encoder in the cache, in addition. Required with `memory` for other
        functions, such as clients of an API: the cache tells them apart by this name and the name
        of the function. Pass a new one when the encoder changes.
    progress : callable, default=None
        Callable that wraps the list of batches. For example, ``tqdm.tqdm`` shows a progress bar.
        By default, no progress is shown.

    Returns
    -------
    X : ndarray of shape (n_prompts, n_features)
        Prompt embeddings, in float32 if the encoder returns float16 or float32, and in float64
        otherwise.

    Raises
    ------
    ValueError
        If there are no texts, if a text is not a string, if `memory` is given for a function
        without `encoder_name`, or if the encoder does not return a dense array of finite numbers
        with one row per text.
    TypeError
        If `encoder` is neither callable nor a transformer.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import HashingVectorizer
    >>> from sklearn.decomposition import TruncatedSVD
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_uniroute.datasets import embed_prompts
    >>> texts = ["Prove Fermat's little theorem.", "Write a haiku.", "Sort a list in Rust."]
    >>> encoder = make_pipeline(HashingVectorizer(), TruncatedSVD(2, random_state=0)).fit(texts)
    >>> embed_prompts(texts, encoder).shape
    (3, 2)
    """
    if isinstance(texts, str):
        raise ValueError(f"`texts` must be a sequence of strings; got one string, {texts!r}.")
    texts = list(texts)
    odd = [place for place, text in enumerate(texts) if not isinstance(text, str)]
    if odd or not texts:
        got = f"{texts[odd[0]]!r} at position {odd[0]}" if odd else "an empty sequence"
        raise ValueError(f"`texts` must be a sequence of at least one string; got {got}.")
    check_count(batch_size, "batch_size")
    if hasattr(encoder, "transform"):
        encode = encoder.transform
    elif callable(encoder):
        encode = encoder
    else:
        raise TypeError(
            f"`encoder` must be a callable or have a method `transform`; got {encoder!r}."
        )
    embed, key = _embed, None
    if memory is not None:
        key = _key(encoder, encoder_name)
        embed = check_memory(memory).cache(_embed, ignore=["encode"])
    starts = range(0, len(texts), batch_size)
    batches = [texts[start : start + batch_size] for start in starts]
    shown = batches if progress is None else progress(batches)
    parts = [embed(batch, key, encode=encode) for batch in shown]
    widths = sorted({part.shape[1] for part in parts})
    if len(widths) > 1:
        raise ValueError(
            f"the encoder returned rows of {widths} features; expected the same number in all "
            "batches."
        )
    return np.concatenate(parts)


def _key(encoder: Any, name: str | None) -> tuple[str | None, ...]:
    """Make the key by which the cache tells encoders apart."""
    kind = encoder if hasattr(encoder, "__qualname__") else type(encoder)
    key = name, f"{kind.__module__}.{kind.__qualname__}"
    module = getattr(encoder, "__self__", encoder)
    if hasattr(module, "state_dict"):
        # A pickle of a torch module is another one in each process.
        weights = {part: _as_array(one) for part, one in module.state_dict().items()}
        plain = (str, int, float, bool, dict, list, tuple, type(None))
        settings = {part: repr(one) for part, one in vars(module).items() if type(one) in plain}
        return *key, joblib.hash([weights, repr(module), settings])
    if hasattr(encoder, "transform"):
        try:
            return *key, joblib.hash(encoder)
        except (PicklingError, TypeError, AttributeError):
            pass
    if not name:
        raise ValueError(
            "`memory` cannot tell the version of this encoder; pass `encoder_name`, a new one for "
            "each version."
        )
    return key


def _as_array(values: Any) -> Any:
    """Convert a tensor that may need gradients or be of a dtype that numpy lacks."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if "bfloat16" in str(values.dtype) else values
    return np.asarray(values)


def _embed(
    texts: list[str], key: tuple[str | None, ...] | None, *, encode: Callable[[list[str]], Any]
) -> np.ndarray:
    """Embed one batch; `key` only tells the encoders in the cache apart."""
    X = encode(texts)
    if issparse(X):
        raise ValueError(
            "the encoder returned a sparse matrix, but routers take dense arrays; put a "
            "TruncatedSVD after the encoder in a pipeline, for example."
        )
    X = _as_array(X)
    dtype = np.float32 if X.dtype == np.float16 else FLOATS
    X = np.asarray(check_array(X, dtype=dtype, input_name="X"))
    if len(X) != len(texts):
        raise ValueError(
            f"the encoder returned {len(X)} rows for {len(texts)} texts; expected one row per text."
        )
    return X

"""Embeddings of prompts, batch by batch."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

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
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> np.ndarray:
    """Embed prompts batch by batch, and keep what was embedded on disk.

    Parameters
    ----------
    texts : sequence of str of length n_prompts
        The prompts.
    encoder : callable or transformer
        What makes an array of shape (n_texts, n_features) of a list of texts: a function, such as
        the `encode` of a sentence-transformers model, or a fitted transformer of scikit-learn.
    batch_size : int, default=256
        Number of texts that the encoder is given at a time.
    memory : str or joblib.Memory, default=None
        Folder to keep embeddings in. Batches that were embedded before, by an encoder of the same
        name, are read from it, also where an earlier run broke off. Nothing is kept by default.
    encoder_name : str, default=None
        What the embeddings are kept under, such as "all-MiniLM-L6-v2". Needed with `memory`, since
        an encoder does not tell its version.
    progress : callable, default=iter
        Wraps the list of batches; ``tqdm.tqdm`` shows a progress bar.

    Returns
    -------
    X : ndarray of shape (n_prompts, n_features)
        The embeddings, float32 where the encoder makes float16 or float32, else float64.

    Raises
    ------
    ValueError
        If there are no texts, one is no string, `memory` has no `encoder_name`, or the encoder
        returns anything but a dense array of finite numbers with a row for each text.
    TypeError
        If `encoder` is neither a callable nor a transformer.

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
        got = f"{texts[odd[0]]!r} at position {odd[0]}" if odd else "an empty one"
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
    embed = _embed
    if memory is not None:
        if not encoder_name:
            raise ValueError(
                "embeddings are kept under the name of their encoder; pass `encoder_name`, and "
                "another one for each version of the encoder."
            )
        embed = check_memory(memory).cache(_embed, ignore=["encode"])
    starts = range(0, len(texts), batch_size)
    batches = [texts[start : start + batch_size] for start in starts]
    parts = [embed(batch, encoder_name, encode=encode) for batch in progress(batches)]
    widths = sorted({part.shape[1] for part in parts})
    if len(widths) > 1:
        raise ValueError(f"the encoder returned rows of {widths} features; expected one length.")
    return np.concatenate(parts)


def _embed(
    texts: list[str], encoder_name: str | None, *, encode: Callable[[list[str]], Any]
) -> np.ndarray:
    """Embed one batch; the name tells one encoder's batches from another's."""
    X = encode(texts)
    if issparse(X):
        raise ValueError(
            "the encoder returns a sparse matrix, and routers take dense arrays; reduce it, for "
            "example by a TruncatedSVD behind it in a pipeline."
        )
    X = np.asarray(X)
    dtype = np.float32 if X.dtype == np.float16 else FLOATS
    X = np.asarray(check_array(X, dtype=dtype, input_name="X"))
    if len(X) != len(texts):
        raise ValueError(f"the encoder returned {len(X)} rows for {len(texts)} texts.")
    return X

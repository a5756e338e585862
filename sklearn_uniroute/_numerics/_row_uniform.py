"""A uniform random number for each prompt that depends on nothing but the prompt and a seed."""

from hashlib import blake2b

import numpy as np


def row_uniform(X: np.ndarray, seed: int) -> np.ndarray:
    """Hash each row to a number that is uniform on [0, 1).

    Rows are compared in single precision, so that the same embedding in double precision gives
    the same number.

    Parameters
    ----------
    X : ndarray of shape (n_prompts, n_features)
    seed : int
        At least 0 and below 2**64.

    Returns
    -------
    uniform : ndarray of shape (n_prompts,)
    """
    key = int(seed).to_bytes(8, "little")
    # Adding zero turns a negative zero into a positive one.
    rows = np.ascontiguousarray(X, dtype="<f4") + np.float32(0)
    digests = b"".join(blake2b(row, digest_size=8, key=key).digest() for row in rows)
    # 53 bits, what a double holds: all 64 could round up to 1.
    return (np.frombuffer(digests, dtype="<u8") >> 11) * 2.0**-53

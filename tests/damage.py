"""Files whose bytes were tampered with."""

import numpy as np


def load_damaged(path, load, n_times):
    """What becomes of loading a file so many times, each time damaged anew: a value or ValueError.

    Any other exception is raised. The file is left as it was.
    """
    content = path.read_bytes()
    rng = np.random.RandomState(0)
    outcomes = []
    for _ in range(n_times):
        path.write_bytes(_damaged(content, rng))
        try:
            outcomes.append(load(path))
        except ValueError as error:
            outcomes.append(error)
    path.write_bytes(content)
    return outcomes


def _damaged(content, rng):
    """Flip a bit, set a byte, cut off the end, cut out a part or double it."""
    content = bytearray(content)
    at = rng.randint(len(content))
    part = slice(at, at + rng.randint(1, 200))
    kind = rng.randint(5)
    if kind == 0:
        content[at] ^= 1 << rng.randint(8)
    elif kind == 1:
        content[at] = rng.randint(256)
    elif kind == 2:
        del content[at:]
    elif kind == 3:
        del content[part]
    else:
        content[at:at] = content[part]
    return bytes(content)

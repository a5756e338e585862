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
        path.write_bytes(damaged(content, rng))
        try:
            outcomes.append(load(path))
        except ValueError as error:
            outcomes.append(error)
    path.write_bytes(content)
    return outcomes


def damaged(content, rng):
    """Change, cut out, double or put in some bytes."""
    content = bytearray(content)
    at = rng.randint(len(content))
    part = slice(at, at + rng.randint(1, 200))
    kind = rng.randint(8)
    if kind == 0:
        content[at] ^= 1 << rng.randint(8)
    elif kind == 1:
        content[at] = rng.randint(256)
    elif kind == 2:
        del content[at:]
    elif kind == 3:
        del content[part]
    elif kind == 4:
        content[at:at] = content[part]
    elif kind == 5:
        content[at:at] = b"9" * rng.randint(1, 400)
    elif kind == 6:
        content[at : at + 4] = rng.bytes(4)
    else:
        other = rng.randint(len(content))
        content[at:at] = content[other : other + 2000] * rng.randint(1, 20)
    return bytes(content)

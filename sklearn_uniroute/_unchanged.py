"""Changes of an estimator that are made whole or not at all."""

from contextlib import contextmanager


@contextmanager
def unchanged_on_error(estimator):
    """Undo what was set on an estimator by a block that fails."""
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise

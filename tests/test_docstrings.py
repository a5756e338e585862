import inspect

import pytest
from numpydoc.validate import validate

import sklearn_uniroute

# What our docstrings do otherwise: a summary may be all there is to say, returned values have
# names, and neither further reading nor examples are of use everywhere.
OTHERWISE = {"ES01", "SA01", "EX01", "RT02"}
# Objects that functions return, and so have attributes but no parameters to speak of.
RETURNED = {"CascadeTable", "RoutingTable", "RouterComparison", "PoolFold", "DeferralScorer"}


def public_names():
    """Every public function, class and method of the package."""
    modules = [sklearn_uniroute]
    modules += [value for value in vars(sklearn_uniroute).values() if inspect.ismodule(value)]
    for module in modules:
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if inspect.isfunction(value) or inspect.isclass(value):
                yield f"{module.__name__}.{name}"
            if inspect.isclass(value):
                for method in dir(value):
                    owner = getattr(getattr(value, method), "__module__", None) or ""
                    if not method.startswith("_") and owner.startswith("sklearn_uniroute"):
                        yield f"{module.__name__}.{name}.{method}"


@pytest.mark.parametrize("name", sorted(set(public_names())))
def test_docstrings_are_numpydoc(name):
    ignored = OTHERWISE | ({"PR01"} if name.rpartition(".")[2] in RETURNED else set())
    errors = [error for error in validate(name)["errors"] if error[0] not in ignored]
    assert not errors

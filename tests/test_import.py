import subprocess
import sys

import pytest

from sklearn_uniroute.utils._optional import import_optional


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_import_loads_nothing_optional():
    # scikit-learn itself imports pandas where it is installed.
    code = """
import sys
import sklearn.cluster, sklearn.datasets, sklearn.ensemble, sklearn.neighbors
import sklearn.neural_network
before = set(sys.modules)
import sklearn_uniroute
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
optional = {"torch", "skorch", "pandas", "pyarrow", "matplotlib", "tqdm", "skops"}
print(loaded & (optional | {"dask", "distributed", "onnx", "huggingface_hub"}))
print({"torch", "skorch", "matplotlib"} & set(sys.modules))
"""
    assert run(code).stdout.splitlines() == ["set()", "set()"]


def test_modules_that_routing_does_not_need_are_imported_at_first_use():
    code = """
import sys
import sklearn_uniroute
names = "sklearn_uniroute.datasets", "sklearn_uniroute.inspection"
print([name in sys.modules for name in names])
sklearn_uniroute.datasets.load_routing_data, sklearn_uniroute.inspection.cluster_report
print([name in sys.modules for name in names])
print({"datasets", "inspection"} <= set(dir(sklearn_uniroute)))
sklearn_uniroute.dataset
"""
    result = run(code)
    assert result.stdout.splitlines() == ["[False, False]", "[True, True]", "True"]
    assert "module 'sklearn_uniroute' has no attribute 'dataset'" in result.stderr


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Blocked())
"""


def test_routers_work_without_anything_optional():
    missing = {
        "torch",
        "skorch",
        "pandas",
        "pyarrow",
        "matplotlib",
        "tqdm",
        "skops",
        "dask",
        "onnx",
        "huggingface_hub",
    }
    code = f"""
{BLOCKED.format(missing=missing)}
from sklearn_uniroute import KMeansRouter
from sklearn_uniroute.datasets import make_routing_data
data = make_routing_data(n_prompts=50, random_state=0)
print(KMeansRouter().fit(data.X, data.y, costs=data.costs).score(data.X, data.y) > 0)
"""
    result = run(code)
    assert result.stdout == "True\n", result.stderr


@pytest.mark.parametrize(
    ("missing", "extra", "call"),
    [
        ("matplotlib", "plot", "DeferralCurveDisplay([1], [1]).plot()"),
        ("matplotlib", "plot", "main(['compare'])"),
        ("tqdm", "cli", "main(['compare'])"),
        ("pandas", "pandas", "load_routing_data(__file__)"),
        ("pandas", "datasets", "fetch_embedllm()"),
        ("pyarrow", "datasets", "fetch_sprout()"),
        ("huggingface_hub", "datasets", "fetch_routerbench(data_home='.')"),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(missing, extra, call, tmp_path):
    code = f"""
{BLOCKED.format(missing={missing})}
import os; os.chdir({str(tmp_path)!r})
__file__ = "table.csv"; open(__file__, "w").close()
from sklearn_uniroute import DeferralCurveDisplay
from sklearn_uniroute._cli import main
from sklearn_uniroute.datasets import (
    fetch_embedllm, fetch_routerbench, fetch_sprout, load_routing_data
)
{call}
"""
    result = run(code)
    assert result.returncode != 0
    assert f'pip install "sklearn_uniroute[{extra}]" brings it' in result.stderr
    assert f"{missing} is needed here and not installed" in result.stderr


def test_a_found_module_is_returned():
    assert import_optional("json", "plot").loads("1") == 1

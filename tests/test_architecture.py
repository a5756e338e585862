"""The architecture that `docs/contributing.rst` describes, read off the imports."""

import ast
from pathlib import Path

import pytest

import sklearn_uniroute

PACKAGE = Path(sklearn_uniroute.__file__).parent
# What the modules of each folder may import, beside their own folder.
MAY_IMPORT = {
    "utils": set(),
    "_numerics": {"utils"},
    "serving": {"utils", "_numerics"},
    "metrics": {"utils", "_numerics"},
    "datasets": {"utils", "_numerics"},
    "routers": {"utils", "_numerics", "serving", "metrics", "datasets"},
    "inspection": {"utils", "_numerics", "serving", "metrics", "datasets"},
    # It knows routers by their public methods alone.
    "model_selection": {"utils", "_numerics", "metrics", "datasets", "inspection"},
}
EVERYTHING = {*MAY_IMPORT, "_attributes", "_cli", "_persistence", "_version"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def place(path):
    """Folder of a module, or the module itself where it stands in none."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported(path):
    """Modules that a module imports, wherever in it, by their full names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if is_module(name) else node.module


def is_module(name):
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def of_the_package(path):
    return [name.split(".") for name in imported(path) if name.split(".")[0] == PACKAGE.name]


def module_id(path):
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_imports_go_one_way(path):
    here = place(path)
    allowed = MAY_IMPORT.get(here, EVERYTHING) | {here, "_version"}
    if here == "_attributes":
        allowed = {"utils", "_version"}
    found = {name[1] for name in of_the_package(path)}
    assert found <= allowed


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_no_module_imports_a_facade(path):
    facades = [name for name in of_the_package(path) if is_facade(name)]
    assert not facades


def is_facade(name):
    return (PACKAGE.parent.joinpath(*name) / "__init__.py").exists()


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_only_one_module_imports_torch(path):
    networks = {"torch", "skorch"} & {name.split(".")[0] for name in imported(path)}
    assert not networks or module_id(path) == "routers/_torch.py"


def test_imports_make_no_circle():
    graph = {module_name(path): set(map(".".join, of_the_package(path))) for path in MODULES}
    seen = set()

    def visit(name, above):
        assert name not in above, " -> ".join([*above, name])
        if name in seen:
            return
        for other in sorted(graph.get(name, ())):
            visit(other, [*above, name])
        seen.add(name)

    for name in sorted(graph):
        visit(name, [])


def module_name(path):
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_modules_are_neither_drawers_nor_slips(path):
    if module_id(path) in {"__main__.py", "_version.py", "utils/_typing.py"}:
        return
    # The base class and the metrics are two thirds docstrings.
    most = {"routers/_base.py": 1200, "metrics/_scores.py": 700}.get(module_id(path), 550)
    assert 30 <= len(path.read_text(encoding="utf-8").splitlines()) <= most


def test_tests_mirror_the_package():
    folders = [path for path in (PACKAGE.parent / "tests").iterdir() if path.is_dir()]
    found = {
        f"{path.parent.name}/_{path.name.removeprefix('test_')}"
        for folder in folders
        for path in folder.glob("test_*.py")
    }
    # Public data sets and routers of one's own are tested together.
    apart = {"datasets/_fetch.py", "routers/_own_router.py"}
    assert found - apart <= {module_id(path) for path in MODULES}

"""Commands in README and documentation name modules, files and options that exist."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.rst"), *ROOT.glob("benchmarks/*.md")])
PLACEHOLDERS = {"benchmarks.my_benchmark", "benchmarks.name"}
# Prose may break lines inside literals.
MODULE = re.compile(r"python -m\s+([\w.]+)([^`\n|&]*)")
REQUIREMENTS = re.compile(r"-r ([\w./-]+)")
SCRIPT = re.compile(r"(?<![\w/.])(\.ci/run|make -C \w+ \w+)")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_can_be_run(path):
    text = path.read_text(encoding="utf-8")
    for module, options in MODULE.findall(text):
        if module == "benchmarks.record":
            module, _, options = options.strip().partition(" ")
        if module in PLACEHOLDERS or not module[:1].isalpha():
            continue
        assert find_spec(module) is not None, module
        if module.startswith("benchmarks."):
            source = Path(find_spec(module).origin).read_text(encoding="utf-8")
            for option in re.findall(r"--([\w-]+)", options):
                assert f"{option.replace('-', '_')}=" in source or f'"--{option}"' in source, option
    for name in REQUIREMENTS.findall(text):
        assert (ROOT / name).is_file(), name
    for command in SCRIPT.findall(text):
        if command == ".ci/run":
            assert (ROOT / command).is_file()
        else:
            _, _, folder, target = command.split()
            rules = (ROOT / folder / "Makefile").read_text(encoding="utf-8")
            assert f"\n{target}:" in rules, command

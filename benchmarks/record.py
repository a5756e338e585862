"""Record what a command prints, so that documentation can quote it.

Run as ``python -m benchmarks.record MODULE [ARGUMENT ...]``, for example ``python -m
benchmarks.record benchmarks.hybrid 40``. Runs ``python -m MODULE`` with these arguments, and
writes what it prints to ``docs/results/NAME.md``, where NAME is the last part of the module's name,
with the command, versions and date, and the pictures ``docs/results/NAME-*.png`` that it drew. Two
sentences at the head of the page say what it shows: write them by hand, they stay. One table or
figure of a command, as in ``benchmarks.paper_tables 400 --table static``, has a page of its own,
``paper_tables-static.md``.
"""

import datetime
import itertools
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "docs" / "results"
# Options that take one part of what a command prints.
PARTS = ("--table", "--figure")
PACKAGES = ("sklearn_uniroute", "scikit-learn", "numpy", "scipy", "torch", "skorch")


def versions():
    installed = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            installed.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            installed.append(f"{package} not installed")
    return ", ".join(installed)


def summary(page):
    """The sentences between the title of a recorded page and its command."""
    if not page.exists():
        return "Two sentences say what this shows. Write them here."
    return page.read_text(encoding="utf-8").partition("\n\n")[2].partition("Printed by ")[0].strip()


def markdown(name, command, printed):
    pictures = [
        f"![{path.stem}]({path.name})\n"
        for path in sorted(RESULTS.glob("*.png"))
        if path.stem == name or path.stem.startswith(f"{name}-")
    ]
    origin = (
        f"Printed by `{command}` on {datetime.date.today():%Y-%m-%d}, with {os.cpu_count()} cores "
        f"({platform.machine()}) and {versions()}."
    )
    head = summary(RESULTS / f"{name}.md")
    parts = [f"# {name}", head, origin, f"```text\n{printed.strip()}\n```", *pictures]
    return "\n\n".join(parts) + "\n"


def main(module, *arguments):
    # Progress goes to stderr, which is shown and not recorded.
    result = subprocess.run(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    name = module.rpartition(".")[2]
    for option, part in itertools.pairwise(" ".join(arguments).replace("=", " ").split()):
        if option in PARTS:
            name += f"-{part}"
    command = " ".join(["python -m", module, *arguments])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(markdown(name, command, result.stdout), encoding="utf-8")
    print(result.stdout, end="")


if __name__ == "__main__":
    main(*sys.argv[1:])

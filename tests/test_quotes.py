"""Numbers that README and documentation quote are those that the benchmarks printed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.rst"), *(ROOT / "docs").glob("*.md")])
COMMAND = re.compile(r"python -m (?:benchmarks\.)?(\w+)")
NUMBER = re.compile(r"(?<![\w.])[+-]?(?:\d{1,3}(?:,\d{3})+|\d*\.\d+)(?![\w.]*\w)")
# Code, formulas, links and literals hold settings, not results.
NO_QUOTES = re.compile(
    r"\.\. (?:code-block|math|plot)::.*?(?=\n\S)"
    r"|:\w+:`[^`]*`|``?[^`]*``?|https?:\S+|arXiv [\d.]+",
    re.DOTALL,
)
HEADING = re.compile(r"\n(?=[^\n]+\n(?:={3,}|-{3,})\n)|\n(?=#+ )")


def value(number):
    """Size of a number, and how many decimals it is written with."""
    digits = number.lstrip("+-").replace(",", "")
    return float(digits), len(digits.partition(".")[2])


def quotes(page):
    """Sections of a page that name benchmarks, with the numbers in them."""
    # Comments in code look like headings.
    page = re.sub(r"```python.*?```", "", page, flags=re.DOTALL)
    for section in HEADING.split("\n" + page):
        names = {name for name in COMMAND.findall(section) if (RESULTS / f"{name}.md").exists()}
        # A table in a block of text is a quote, as prose is.
        text = re.sub(r"```text(.*?)```", r"\1", section, flags=re.DOTALL)
        yield names, NUMBER.findall(NO_QUOTES.sub(" ", text))


def wrong_quotes(page):
    """Numbers that stand beside the name of a benchmark which did not print them."""
    wrong = []
    for names, numbers in quotes(page):
        printed = [
            value(number)[0]
            for name in names
            for number in re.findall(
                r"\d[\d,]*\.?\d*|\.\d+", (RESULTS / f"{name}.md").read_text(encoding="utf-8")
            )
        ]
        for number in numbers if names else ():
            size, decimals = value(number)
            if not any(abs(size - other) <= 0.5001 * 10.0**-decimals for other in printed):
                wrong.append(number)
    return wrong


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_quoted_numbers_were_printed(path):
    assert not wrong_quotes(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_benchmark_that_is_named_has_results(path):
    names = re.findall(r"python -m benchmarks\.(\w+)", path.read_text(encoding="utf-8"))
    assert not [
        name for name in names if name != "record" and not (RESULTS / f"{name}.md").exists()
    ]


def test_a_number_that_was_not_printed_is_found():
    page = "Title\n=====\n\nAs ``python -m benchmarks.hybrid`` prints, it gains {} in area.\n"
    printed = re.search(r"[+-]0\.\d{4}", (RESULTS / "hybrid.md").read_text(encoding="utf-8"))[0]
    assert not wrong_quotes(page.format(printed))
    assert wrong_quotes(page.format("+.7654321")) == ["+.7654321"]

"""Numbers that README and documentation quote are those that the benchmarks printed."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.rst"), *(ROOT / "docs").glob("*.md")])
# Commands whose numbers are quoted: benchmarks, and the command line.
COMMAND = re.compile(r"python -m (?:benchmarks\.(?!record)|(?=sklearn_uniroute))(\w+)")
NUMBER = re.compile(r"(?<![\w.])[+-]?(?:\d{1,3}(?:,\d{3})+|\d*\.\d+)(?![\w.]*\w)(?: \*)?")
PRINTED = re.compile(r"(?<![\w.])[+-]?(?:\d[\d,]*\.?\d*|\.\d+)(?: \*)?")
# Code, formulas, links and literals hold settings, not results.
NO_QUOTES = re.compile(
    r"\.\. (?:code-block|math|plot)::.*?(?=\n\S)"
    r"|:\w+:`[^`]*`|``?[^`]*``?|https?:\S+|arXiv [\d.]+",
    re.DOTALL,
)
HEADING = re.compile(r"\n(?=[^\n]+\n(?:={3,}|-{3,})\n)|\n(?=#+ )")


class Number(NamedTuple):
    size: float
    sign: str
    decimals: int
    star: bool


def value(text):
    digits = text.strip("+- *").replace(",", "")
    sign = text[0] if text[0] in "+-" else ""
    return Number(float(digits), sign, len(digits.partition(".")[2]), text.endswith("*"))


def same(quote, printed, with_stars):
    """Whether a quote, maybe rounded and without its sign, is of a number that was printed."""
    return (
        abs(quote.size - printed.size) <= 0.5001 * 10.0**-quote.decimals
        and quote.sign in ("", printed.sign)
        and (quote.star == printed.star or not with_stars)
    )


def printed_by(name):
    """Numbers that a command printed, without those that say when and with what it ran."""
    text = (RESULTS / f"{name}.md").read_text(encoding="utf-8").partition("```text")[2]
    return [value(number) for number in PRINTED.findall(text)]


def quotes(page):
    """Sections of a page that name commands, with the numbers in them."""
    # Comments in code look like headings.
    page = re.sub(r"```python.*?```", "", page, flags=re.DOTALL)
    for section in HEADING.split("\n" + page):
        # A table in a block of text is a quote, as prose is.
        text = re.sub(r"```text(.*?)```", r"\1", section, flags=re.DOTALL)
        yield set(COMMAND.findall(section)), NUMBER.findall(NO_QUOTES.sub(" ", text))


def wrong_quotes(page):
    """Numbers that stand beside the name of a command which did not print them."""
    wrong = []
    for names, numbers in quotes(page):
        printed = [number for name in names for number in printed_by(name)]
        with_stars = any(number.endswith("*") for number in numbers)
        wrong += [
            number
            for number in (numbers if names else ())
            if not any(same(value(number), other, with_stars) for other in printed)
        ]
    return wrong


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_quoted_numbers_were_printed(path):
    assert not wrong_quotes(path.read_text(encoding="utf-8"))


def test_numbers_that_were_not_printed_are_found():
    page = "Title\n=====\n\nAs ``python -m benchmarks.hybrid`` prints, it gains {} in area.\n"
    text = (RESULTS / "hybrid.md").read_text(encoding="utf-8")
    printed = max(re.findall(r"\+0\.\d{4}", text))
    assert not wrong_quotes(page.format(printed))
    assert not wrong_quotes(page.format(printed.lstrip("+0")))
    starred = page.replace("hybrid", "paper_tables")
    assert not wrong_quotes(starred.format(".5420 *"))
    assert wrong_quotes(starred.format(".5420 and .6140 *")) == [".5420"]
    for other in (printed.replace("+", "-"), "+.7654321", "2026.11"):
        assert wrong_quotes(page.format(other)) == [other]


def test_commands_without_results_are_found():
    with pytest.raises(FileNotFoundError):
        wrong_quotes("``python -m benchmarks.unheard_of`` prints 1.5")

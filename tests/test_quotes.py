"""Numbers that README and documentation quote are those that the benchmarks printed."""

import itertools
import random
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.rst"), *(ROOT / "docs").glob("*.md")])
# Commands whose numbers are quoted: benchmarks, and the command line.
COMMAND = re.compile(r"python -m (?:benchmarks\.(?!record)|(?=sklearn_uniroute))(\w+)")
NUMBER = re.compile(r"(?<![\w.])[+-]?(?:\d{1,3}(?:,\d{3})+|\d*\.\d+)(?![\w.]*\w)(?: \*)?")
PRINTED = re.compile(r"(?<![\w.])[+-]?(?:\d[\d,]*\.?\d*|\.\d+)(?: \*)?")
# Code, formulas, links and literals hold settings, not results; doctests check themselves.
NO_QUOTES = re.compile(
    r"(?<=\n)>>> .*?\n(?=\n)|"
    r"\.\. (?:code-block|math|plot)::.*?(?=\n\S)"
    r"|:\w+:`[^`]*`|``?[^`]*``?|https?:\S+|arXiv [\d.]+",
    re.DOTALL,
)
# The beginning of a printed line, before its numbers.
LABEL = re.compile(r"[^\d+\-.±]*(?:K = \d+|\d+(?=[ ,]))?[^\d+\-.±]*")
TABLE = re.compile(r"^\s*(?:=+ +)+=+\s*$|^[|*]", re.MULTILINE)
SENTENCE = re.compile(r"(?<=[.;:])\s+|^[-*] ", re.MULTILINE)
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


@cache
def printed_by(name):
    """Sets of numbers that a command printed together: of a line, a label, or a block of lines.

    Lines with the same label stand in several blocks, such as one for each file of data.
    """
    pages = [RESULTS / f"{name}.md", *RESULTS.glob(f"{name}-*.md")]
    texts = [page.read_text(encoding="utf-8") for page in pages if page.exists()]
    if not texts:
        raise FileNotFoundError(f"nothing is recorded of {name}")
    together = defaultdict(list)
    blocks = [text.partition("```text")[2].split("\n\n") for text in texts]
    for place, block in enumerate(itertools.chain(*blocks)):
        for number, line in enumerate(block.splitlines()):
            found = [value(digits) for digits in PRINTED.findall(line)]
            label = LABEL.match(line)[0].strip()
            for key in (("line", place, number), ("label", label), ("block", place)):
                together[key] += found
    return list(together.values())


def quotes(page):
    """Rows of numbers in the sections of a page that name commands."""
    # Comments in code look like headings.
    page = re.sub(r"```python.*?```", "", page, flags=re.DOTALL)
    for section in HEADING.split("\n" + page):
        # A table in a block of text is a quote, as prose is.
        text = NO_QUOTES.sub(" ", re.sub(r"```text(.*?)```", r"\1", section, flags=re.DOTALL))
        yield set(COMMAND.findall(section)), [NUMBER.findall(row) for row in rows(text)]


def rows(text):
    """Rows of tables, and sentences."""
    # A row of a list-table takes several lines.
    text = re.sub(r"\n +- ", " ", text)
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.splitlines()
        yield from lines if TABLE.search(paragraph) else SENTENCE.split(" ".join(lines))


def wrong_quotes(page):
    """Rows beside the name of a command that did not print all of their numbers together."""
    return [
        " ".join(row)
        for names, found in quotes(page)
        if names
        for row in found
        if row and not was_printed(row, [numbers for name in names for numbers in printed_by(name)])
    ]


def was_printed(row, together):
    """Whether one set of printed numbers has a row, or a few sets have several numbers each.

    A single number that no number beside it vouches for may be printed anywhere.
    """
    with_stars = any(number.endswith("*") for number in row)
    left = [value(number) for number in row]
    while left:
        best = max(
            (
                [
                    quote
                    for quote in left
                    if any(same(quote, other, with_stars) for other in numbers)
                ]
                for numbers in together
            ),
            key=len,
            default=[],
        )
        if len(best) < min(len(row), 2):
            return False
        left = [quote for quote in left if quote not in best]
    return True


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.md")), ids=lambda path: path.stem)
def test_results_say_what_they_show_in_two_sentences(path):
    head = path.read_text(encoding="utf-8").partition("\n\n")[2].partition("Printed by ")[0]
    assert len(SENTENCE.split(head.strip().replace("\n", " "))) in (2, 3)
    assert "Write them here" not in head


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
    assert not wrong_quotes(starred.format(".5304 *"))
    assert wrong_quotes(starred.format(".5304 and .6057 *")) == [".5304 .6057 *"]
    for other in (printed.replace("+", "-"), "+.7654321", "2026.11"):
        assert wrong_quotes(page.format(other)) == [other]


def test_numbers_of_other_rows_are_found():
    row = "==== ====\n{} {}\n==== ====\n\nfrom ``python -m benchmarks.paper_tables``"
    assert not wrong_quotes(row.format("ZeroRouter .5304 *", ".6057 *"))
    # Both numbers were printed, for different routers.
    assert wrong_quotes(row.format("ZeroRouter .5304 *", ".6176 *"))


def test_nearly_all_altered_numbers_are_found():
    rng = random.Random(0)
    found = []
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        numbers = [
            number for names, rows in quotes(page) if names for row in rows for number in row
        ]
        for number in rng.sample(numbers, min(len(numbers), 15)):
            place = rng.choice([place for place, char in enumerate(number) if char.isdigit()])
            digit = str((int(number[place]) + rng.randint(1, 9)) % 10)
            altered = number[:place] + digit + number[place + 1 :]
            found.append(bool(wrong_quotes(page.replace(number, altered, 1))))
    assert len(found) > 60
    assert np.mean(found) > 0.9


def test_commands_without_results_are_found():
    with pytest.raises(FileNotFoundError):
        wrong_quotes("``python -m benchmarks.unheard_of`` prints 1.5")

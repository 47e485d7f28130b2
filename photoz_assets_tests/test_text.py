"""Words of others come out as one plain line, whatever they are."""

import re

import pytest

from photoz_assets.text import code_span, fenced, one_line

HOSTILE = ["a\nb", "\x1b[31mred\x1b[0m", "\u202eabc\x00", "x" * 10_000_000, " \t\r\n ", "\ud800 alone", ""]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_line_is_plain_and_short(text: str) -> None:
    line = one_line(text, 100)
    assert line.isprintable()
    assert len(line) <= 103
    assert one_line(line, 103) == line
    line.encode()


def test_plain_text_stays_as_it_is() -> None:
    assert one_line("Größe 3 µm: <b> & `x`") == "Größe 3 µm: <b> & `x`"


@pytest.mark.parametrize("text", ["<b>", "`", "``` `` `", "a|b", "[x](y)"])
def test_span_is_longer_fenced_than_what_is_in_it(text: str) -> None:
    span = code_span(text)
    fence = span[: len(span) - len(span.lstrip("`"))]
    assert span == f"{fence} {text} {fence}".replace("|", "\\|")
    assert all(len(run) < len(fence) for run in re.findall("`+", text))


@pytest.mark.parametrize(
    "text", ["SELECT 1", "SELECT '```\n<script>alert(1)</script>'", "````` [x](javascript:alert(1))", "`"]
)
def test_query_on_a_page_cannot_leave_its_fence(text: str) -> None:
    first, *middle, last = fenced(text).split("\n")
    assert "\n".join(middle) == text
    assert first == f"{last}sql"
    assert set(last) == {"`"}
    assert all(len(run) < len(last) for run in re.findall("`+", text))

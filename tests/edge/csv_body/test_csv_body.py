"""CSV as RFC 4180 has it, refused with the line otherwise."""

from __future__ import annotations

import pytest

from gateway.core.errors import InvalidInput
from gateway.core.payload import Table
from gateway.edge.csv_body import csv_table


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b"carat,cut\n0.23,Ideal\n", [["0.23", "Ideal"]]),
        (b"carat,cut\r\n0.23,Ideal", [["0.23", "Ideal"]]),
        (b"\xef\xbb\xbfcarat,cut\n0.23,Ideal\n\n", [["0.23", "Ideal"]]),
        (b'"carat","cut"\n,"Very, ""very"" Good"\n', [["", 'Very, "very" Good']]),
        (b'carat,cut\n1,"two\nlines"\n', [["1", "two\nlines"]]),
        (b"carat,cut\n", []),
    ],
)
def test_a_table_of_text_comes_out(body: bytes, rows: list[list[str]]) -> None:
    assert csv_table(body) == Table(["carat", "cut"], rows, is_text=True)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is empty"),
        (b"\n\n", "the body is empty"),
        (b"a,b\n1,2\n3\n", "line 3: expected 2 cells, got 1"),
        (b'a,b\n1,"2\n', "line 2"),
        (b"a\n" + b"x" * 200_000, "line 2"),
        (b"a,b\n\xff,1", "not UTF-8"),
    ],
)
def test_a_damaged_table_is_refused_with_its_line(body: bytes, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        csv_table(body)

    assert said in str(refused.value)

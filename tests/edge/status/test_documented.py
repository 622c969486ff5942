"""The table in docs/protocols.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.edge.status import STATUS

CHANGES = Path(__file__).parents[3] / "docs" / "admin-api.md"
CHANGE = re.compile(r"^\| (\d+) \| `(\w+)` \|", re.MULTILINE)
OF_CHANGES = {"Conflict", "VersionRequired", "ReadOnly", "ChangeRefused", "SourceUnavailable"}
"""Met on the admin API, never by a request for a prediction."""
DOCUMENT = Path(__file__).parents[3] / "docs" / "protocols.md"
ROW = re.compile(r"^\| [^|]+ \| `(\w+)` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)
ROWS = ROW.findall(DOCUMENT.read_text())


def test_every_error_that_a_client_can_meet_is_documented() -> None:
    words = {status.word for status in STATUS.values()} - {"HeaderTooLarge", "NotSupported", "ClientClosed"}
    words -= OF_CHANGES

    assert {row[0] for row in ROWS} == words


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_documented_row_is_the_row_of_the_table(row: tuple[str, str, str, str, str]) -> None:
    coded = {
        (status.word, str(status.managed), str(status.kubernetes), str(status.azmlinfsrv), str(status.http))
        for status in STATUS.values()
    }

    assert row in coded


def test_what_a_change_can_end_with_is_on_the_page_of_the_admin_api() -> None:
    rows = {(int(status), word) for status, word in CHANGE.findall(CHANGES.read_text())}
    coded = {(status.http, status.word) for status in STATUS.values()}

    assert rows <= coded
    assert {word for _, word in rows} >= OF_CHANGES

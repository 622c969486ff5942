"""``lockgate features`` on a real store: loaded, shown and compared, as a person would do it."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from feature_cache.encoding import RowCodec
from feature_cache.errors import Unavailable
from feature_cache.keys import key_maker
from feature_cache.row import Row
from feature_cache.writer import EncodedRow, Writer, Written
from gateway.cli import app
from gateway.config import load_views
from gateway.core.errors import ConfigError
from tests.support.valkey import Valkey

VIEW = """\
name: stones
entities: [{name: stone_id, type: int64}]
features:
  - {name: carat, type: float64}
  - {name: cut, type: string}
  - {name: sold, type: int64}
"""
TIME = 1_700_000_000_000_000
COLUMNS = ["stone_id", "carat", "cut", "sold", "event_time"]
ROWS = [[i, i / 8, "Ideal", 2**60 + i, TIME + i] for i in range(1, 5001)]


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A folder with the view."""
    folder = tmp_path / "served"
    (folder / "features").mkdir(parents=True)
    (folder / "features" / "stones.yaml").write_text(VIEW)
    return folder


@pytest.fixture
def stones(tmp_path: Path) -> Path:
    return written(tmp_path / "stones.csv", ROWS)


def written(path: Path, rows: Sequence[Sequence[Any]], columns: Sequence[str] = COLUMNS) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def run(valkey: Valkey, served: Path, command: str, *arguments: str | Path) -> Result:
    words = ["features", command, *map(str, arguments), "--folder", str(served), "--url", valkey.url]
    return CliRunner().invoke(app, words, env={"COLUMNS": "200"})


def stored(valkey: Valkey, served: Path, stone: int) -> Row | None:
    view = load_views(served)["stones"]
    with valkey.client() as client:
        raw = client.get(key_maker(view)([stone]))
    return None if raw is None else RowCodec(view).decode(raw)


def values(valkey: Valkey, served: Path, stone: int) -> object:
    row = stored(valkey, served, stone)
    return None if row is None else row.values


# load


def test_a_csv_file_is_loaded(valkey: Valkey, served: Path, stones: Path) -> None:
    done = run(valkey, served, "load", stones, "--view", "stones")

    assert done.exit_code == 0
    assert "5000 rows: 5000 written, 0 skipped" in done.output
    assert values(valkey, served, 5000) == (625.0, "Ideal", 2**60 + 5000)


def test_a_parquet_file_gives_the_same_rows_as_csv(valkey: Valkey, served: Path, stones: Path, tmp_path: Path) -> None:
    columns = dict(zip(COLUMNS, map(list, zip(*ROWS, strict=True)), strict=True))
    table = pa.table({**columns, "event_time": pa.array(columns["event_time"], pa.timestamp("us", "UTC"))})
    pq.write_table(table, tmp_path / "stones.parquet", row_group_size=700)
    done = run(valkey, served, "load", tmp_path / "stones.parquet", "--view", "stones")
    again = run(valkey, served, "load", stones, "--view", "stones")

    assert done.exit_code == 0
    assert "5000 written" in done.output
    assert "0 written, 5000 skipped" in again.output
    assert run(valkey, served, "diff", stones, "--view", "stones").exit_code == 0


def test_older_rows_are_skipped_and_newer_ones_written(
    valkey: Valkey, served: Path, stones: Path, tmp_path: Path
) -> None:
    run(valkey, served, "load", stones, "--view", "stones")
    changed = written(tmp_path / "b.csv", [[1, 9, "Fair", 1, TIME], [2, 9, "Fair", 2, TIME + 10]])
    done = run(valkey, served, "load", changed, "--view", "stones")

    assert "1 written, 1 skipped" in done.output
    assert values(valkey, served, 1) == (0.125, "Ideal", 2**60 + 1)
    assert values(valkey, served, 2) == (9.0, "Fair", 2)


def test_a_dry_run_writes_nothing_and_tells_what_would_be_rejected(
    valkey: Valkey, served: Path, tmp_path: Path
) -> None:
    data = written(tmp_path / "a.csv", [[1, 0.5, "Fair", 1, TIME], [2, "heavy", "Fair", 1, TIME]])
    done = run(valkey, served, "load", data, "--view", "stones", "--dry-run")

    assert done.exit_code == 1
    assert "2 rows: 1 can be loaded, 1 rejected; nothing was written" in done.output
    assert stored(valkey, served, 1) is None


def test_rejected_rows_are_named_by_row_and_column_and_the_others_are_loaded(
    valkey: Valkey, served: Path, tmp_path: Path
) -> None:
    rows: list[list[Any]] = [
        [1, 0.5, "Fair", 1, TIME],
        [2, "heavy", "Fair", 1, TIME],
        ["", 0.5, "Fair", 1, TIME],
        [4, 0.5, "Fair", 2**63, TIME],
        [5, 0.5, "Fair", 1, "yesterday"],
        [6, 0.5],
        [7, "", "", "", TIME],
    ]
    data = written(tmp_path / "a.csv", rows)
    done = run(valkey, served, "load", data, "--view", "stones", "--rejects", tmp_path / "rejects.csv")
    with (tmp_path / "rejects.csv").open(newline="") as file:
        told = {row["row"]: row["problem"] for row in csv.DictReader(file)}

    assert done.exit_code == 1
    assert "7 rows: 2 written, 0 skipped (the store has them as new or newer), 5 rejected" in done.output
    assert told == {
        "2": 'feature "carat": expected a number',
        "3": 'entity "stone_id": expected a value, got null',
        "4": 'view "stones", feature "sold": expected a whole number of 64 bits',
        "5": 'event time "event_time": expected a time such as 2026-01-31T12:00:00Z, or microseconds since 1970',
        "6": "expected 5 cells, got 2",
    }
    assert values(valkey, served, 7) == (None, None, None)


def test_an_interrupted_load_goes_on_where_it_stopped(
    valkey: Valkey, served: Path, stones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    send = Writer.send

    async def fails_later(self: Writer, rows: Sequence[EncodedRow]) -> Written:
        if len(sent) == 1:
            raise Unavailable("the store cannot be reached")
        sent.append(len(rows))
        return await send(self, rows)

    with monkeypatch.context() as patched:
        patched.setattr(Writer, "send", fails_later)
        broken = run(valkey, served, "load", stones, "--view", "stones")
    done = run(valkey, served, "load", stones, "--view", "stones")

    assert isinstance(broken.exception, ConfigError)
    assert f"going on behind row {sent[0]}" in done.output
    assert "5000 rows: 5000 written, 0 skipped" in done.output
    assert list(stones.parent.glob(".*checkpoint*")) == []


def test_a_note_of_another_file_is_not_gone_by(
    valkey: Valkey, served: Path, stones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(self: Writer, rows: Sequence[EncodedRow]) -> Written:
        raise Unavailable("gone")

    with monkeypatch.context() as patched:
        patched.setattr(Writer, "send", fails)
        run(valkey, served, "load", stones, "--view", "stones")
    written(stones, ROWS[:10])
    done = run(valkey, served, "load", stones, "--view", "stones")

    assert "10 rows: 10 written" in done.output


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (["stone_id", "carat"], r'expects the columns "cut" \(feature\), "sold" \(feature\)'),
        ([*COLUMNS, "carat"], 'column "carat" is there twice'),
    ],
)
def test_a_file_without_the_views_columns_is_refused(
    valkey: Valkey, served: Path, tmp_path: Path, columns: list[str], told: str
) -> None:
    done = run(valkey, served, "load", written(tmp_path / "a.csv", [], columns), "--view", "stones")

    with pytest.raises(ConfigError, match=told):
        raise done.exception or AssertionError


def test_times_without_a_zone_need_a_word(valkey: Valkey, served: Path, tmp_path: Path) -> None:
    data = written(tmp_path / "a.csv", [[1, 0.5, "Fair", 1, "2024-02-29T12:00:00"]])
    refused = run(valkey, served, "load", data, "--view", "stones")
    taken = run(valkey, served, "load", data, "--view", "stones", "--utc")

    assert "expected a time with a time zone; --utc takes these for UTC" in refused.output
    assert taken.exit_code == 0


def test_an_unknown_view_is_refused_with_those_that_there_are(valkey: Valkey, served: Path, stones: Path) -> None:
    done = run(valkey, served, "load", stones, "--view", "gems")

    with pytest.raises(ConfigError, match='no view "gems", there is stones'):
        raise done.exception or AssertionError


# get


def test_get_shows_values_age_and_source(valkey: Valkey, served: Path, stones: Path) -> None:
    run(valkey, served, "load", stones, "--view", "stones")
    done = run(valkey, served, "get", "stones", "8", "9", "--json")
    first, second = json.loads(done.output)

    assert done.exit_code == 0
    assert first["features"]["carat"] == {"value": 1.0, "source": "store (compact)"}
    assert first["features"]["sold"]["value"] == 2**60 + 8
    assert second["key"] == "9"
    assert first["age_seconds"] > 0


def test_get_tells_what_the_policy_makes_of_nothing(valkey: Valkey, served: Path) -> None:
    done = run(valkey, served, "get", "stones", "1")

    assert done.exit_code == 1
    assert "1: not_found" in done.output
    assert "fails: nothing is stored for this entity" in done.output


def test_a_key_of_the_wrong_type_is_refused(valkey: Valkey, served: Path) -> None:
    done = run(valkey, served, "get", "stones", "one")

    with pytest.raises(ConfigError, match="key one: expected a whole number"):
        raise done.exception or AssertionError


# diff


def test_a_store_that_serves_the_file_shows_no_skew(valkey: Valkey, served: Path, stones: Path) -> None:
    run(valkey, served, "load", stones, "--view", "stones")
    done = run(valkey, served, "diff", stones, "--view", "stones")

    assert done.exit_code == 0
    assert "5000 rows: 0 not in the store, 0 damaged there, 0 older and 0 newer" in done.output


def test_every_difference_is_counted_and_the_worst_are_shown(
    valkey: Valkey, served: Path, stones: Path, tmp_path: Path
) -> None:
    run(valkey, served, "load", stones, "--view", "stones")
    changed: list[list[Any]] = [list(row) for row in ROWS[:6]]
    changed[0][1] = 0.25
    changed[1][1] *= 1.001
    changed[2][2] = "Fair"
    changed.append([9999, 1.0, "Fair", 1, TIME])
    done = run(valkey, served, "diff", written(tmp_path / "b.csv", changed), "--view", "stones")
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.output.splitlines()]

    assert done.exit_code == 1
    assert "7 rows: 1 not in the store" in done.output
    assert ["carat", "4", "2", "0", "0", "0.5"] in lines
    assert ["cut", "5", "1", "0", "0", "1"] in lines
    assert ["3", "3", "cut", "'Fair'", "'Ideal'", "1"] in lines


def test_a_damaged_row_is_counted_and_not_compared(valkey: Valkey, served: Path, stones: Path) -> None:
    run(valkey, served, "load", stones, "--view", "stones")
    with valkey.client() as client:
        client.set(key_maker(load_views(served)["stones"])([7]), b"\x01nonsense")
    done = run(valkey, served, "diff", stones, "--view", "stones")

    assert done.exit_code == 1
    assert "1 damaged there" in done.output

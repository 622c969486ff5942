"""Files of every type of column: CSV and Parquet mean the same, and nothing is lost or guessed."""

from __future__ import annotations

import builtins
import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_cache.datatype import FEATURE_TYPES
from feature_cache.schema import Entity, Feature, FeatureView
from feature_cache.tables import BadTable, open_table

NOW = 1_700_000_000_000_000
TYPES = ("int64", "int32", "float64", "float32", "bool", "string", "bytes", "timestamp", "list[int64]", "list[string]")


def view(*types: str) -> FeatureView:
    features = tuple(Feature(name=f"f{i}", type=kind) for i, kind in enumerate(types))
    return FeatureView(name="v", entities=(Entity(name="id"),), features=features)


def write_csv(path: Path, header: list[str], *rows: list[str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def read(path: Path, of: FeatureView, size: int = 100, skip: int = 0, **more: Any) -> list[Any]:
    """Values of each row, or the complaint about it."""
    table = open_table(path, of, now_us=NOW, **more)
    found: dict[int, Any] = {}
    for batch in table.batches(size, skip):
        found |= {number: list(row.values) for number, row in batch.rows}
        found |= {reject.row: reject.problem for reject in batch.rejects}
    return [found[number] for number in sorted(found)]


CELLS: list[tuple[str, str, Any]] = [
    ("int64", "9007199254740993", 2**53 + 1),
    ("int64", "1e5", 100_000),
    ("int32", " 7 ", 7),
    ("float64", "0.1", 0.1),
    ("float64", "inf", float("inf")),
    ("float32", "-2.5", -2.5),
    ("bool", "TRUE", True),
    ("bool", "0", False),
    ("string", "NA", "NA"),
    ("string", ' x,\n"y" é ', ' x,\n"y" é '),
    ("bytes", "AP8=", b"\x00\xff"),
    ("timestamp", "2023-11-14T22:13:20Z", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
    ("timestamp", "1700000000000000", NOW),
    ("list[int64]", "[1, 2]", [1, 2]),
    ("list[string]", '["a", ""]', ["a", ""]),
    ("list[bytes]", '["AP8="]', [b"\x00\xff"]),
]


@pytest.mark.parametrize(("kind", "cell", "value"), CELLS)
def test_a_cell_of_csv_is_read_by_its_type(tmp_path: Path, kind: str, cell: str, value: object) -> None:
    path = write_csv(tmp_path / "a.csv", ["id", "f0"], ["1", cell])

    assert read(path, view(kind)) == [[value]]


@pytest.mark.parametrize("kind", FEATURE_TYPES)
def test_an_empty_cell_is_null_for_every_type(tmp_path: Path, kind: str) -> None:
    assert read(write_csv(tmp_path / "a.csv", ["id", "f0"], ["1", ""]), view(kind)) == [[None]]


@pytest.mark.parametrize(
    ("kind", "cell", "told"),
    [
        ("int64", "1.5", "expected a whole number"),
        ("int64", "1e300", "expected a whole number"),
        ("float64", "1,5", "expected a number"),
        ("bool", "yes", "expected true or false"),
        ("bytes", "%%", "expected bytes in base64"),
        ("timestamp", "2024-01-01", "expected a time with a time zone"),
        ("list[int64]", "1;2", "expected a list in JSON"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(tmp_path: Path, kind: str, cell: str, told: str) -> None:
    (problem,) = read(write_csv(tmp_path / "a.csv", ["id", "f0"], ["1", cell]), view(kind))

    assert problem.startswith(f'feature "f0": {told}')


def test_parquet_keeps_what_csv_cannot_say(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": [1, 2, 3],
            "f0": pa.array(["", None, "NA"]),
            "f1": pa.array([float("nan"), None, 2.0]),
            "f2": pa.array([1.0, float("nan"), 3.0]),
            "f3": pa.array([NOW * 1000 + 1, None, 0], pa.timestamp("ns", "Europe/Amsterdam")),
            "f4": pa.array(["a", "b", "a"]).dictionary_encode(),
            "f5": pa.array([[1], [], None], pa.list_(pa.int64())),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    rows = read(tmp_path / "a.parquet", view("string", "float64", "int64", "timestamp", "string", "list[int64]"))

    assert rows[0][0] == ""
    assert str(rows[0][1]) == "nan"
    assert rows[0][2:] == [1, NOW, "a", [1]]
    assert rows[1] == [None, None, None, None, "b", []]
    assert rows[2] == ["NA", 2.0, 3, 0, "a", None]


def test_times_of_parquet_without_a_zone_need_a_word(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1], "f0": pa.array([NOW], pa.timestamp("us"))}), tmp_path / "a.parquet")

    with pytest.raises(BadTable, match='column "f0": expected times with a time zone; --utc'):
        read(tmp_path / "a.parquet", view("timestamp"))
    assert read(tmp_path / "a.parquet", view("timestamp"), assume_utc=True) == [[NOW]]


@pytest.mark.parametrize("skip", [0, 1, 6, 7, 10, 24, 25, 99])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_are_skipped_across_batches_and_row_groups(tmp_path: Path, suffix: str, skip: int) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".csv":
        write_csv(path, ["id", "f0"], *[[str(i), str(i)] for i in range(25)])
    else:
        pq.write_table(pa.table({"id": range(25), "f0": range(25)}), path, row_group_size=7)

    assert read(path, view("int64"), size=6, skip=skip) == [[i] for i in range(skip, 25)]


def test_without_pyarrow_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"id": [1], "f0": [1]}), tmp_path / "a.parquet")
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(BadTable, match=r"pip install 'lockgate\[parquet\]'"):
        open_table(tmp_path / "a.parquet", view("int64"), now_us=NOW)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", b"", "expected a line with the names"),
        ("a.csv", b"id,f0\n1,\xff\n", "expected CSV in UTF-8"),
        ("a.parquet", b"PAR0", "expected Parquet"),
        ("a.txt", b"", r"ends in \.csv or \.parquet"),
    ],
)
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(BadTable, match=told):
        read(tmp_path / name, view("int64"))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTable, match="no such file"):
        open_table(tmp_path / "a.csv", view("int64"), now_us=NOW)


def test_other_columns_are_ignored_and_told(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", ["price", "id", "f0"], ["9", "1", "2"])

    assert open_table(path, view("int64"), now_us=NOW).ignored == ("price",)
    assert read(path, view("int64")) == [[2]]


@pytest.mark.parametrize(("column", "option"), [("event_time", None), ("event_timestamp", None), ("when", "when")])
def test_the_event_time_is_a_column_or_now(tmp_path: Path, column: str, option: str | None) -> None:
    path = write_csv(tmp_path / "a.csv", ["id", "f0", column], ["1", "2", "5"])
    table = open_table(path, view("int64"), now_us=NOW, event_time=option)
    ((_, row),) = next(iter(table.batches(10))).rows

    assert row.event_time == 5


def test_without_a_column_the_event_time_is_now(tmp_path: Path) -> None:
    table = open_table(write_csv(tmp_path / "a.csv", ["id", "f0"], ["1", "2"]), view("int64"), now_us=NOW)
    ((_, row),) = next(iter(table.batches(10))).rows

    assert row.event_time == NOW

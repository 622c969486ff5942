# mypy: ignore-errors
"""
Makes ``feast.json``: what the real ``feast`` package writes to Redis, for tests that read it without Feast.

Feast with all that it needs is too much for every run of the tests (some 400 MB), so these bytes are committed and
the tests use them. To make them again, in an environment of its own, not ours:

    python3.11 -m venv /tmp/feast && /tmp/feast/bin/pip install 'feast[redis]==0.67.0'
    /tmp/feast/bin/python tests/feature_cache/golden/make.py

It runs Feast's own ``RedisOnlineStore.online_write_batch`` with a client that notes down what it is told to write.
"""

from __future__ import annotations

import json
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from feast import Entity, FeatureView, Field, FileSource, RepoConfig, ValueType, __version__
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import (
    BoolList,
    BytesList,
    DoubleList,
    FloatList,
    Int32List,
    Int64List,
    Null,
    StringList,
    Value,
)
from feast.types import Float64

PROJECT = "my_project"
VIEW = "driver_hourly_stats"
TIME = datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)

KEYS: dict[str, list[tuple[str, str, Any]]] = {
    "int64": [("driver_id", "int64", 1001)],
    "int64 least": [("driver_id", "int64", -(2**63))],
    "int64 most": [("driver_id", "int64", 2**63 - 1)],
    "int32": [("driver_id", "int32", -7)],
    "string": [("driver_id", "string", "1001")],
    "string empty": [("driver_id", "string", "")],
    "string not ASCII": [("driver_id", "string", "Zoë ☃")],
    "bytes": [("driver_id", "bytes", "00ff0d0a")],
    "timestamp": [("at", "timestamp", 1700000000)],
    "two, in another order": [("driver_id", "int64", 1001), ("city", "string", "NYC")],
    "three": [("zone", "int32", 3), ("driver_id", "int64", 5), ("city", "string", "a,b")],
    "join key not ASCII": [("straße_id", "int64", 9)],
}

VALUES: dict[str, tuple[str, Any]] = {
    "double": ("float64", 0.5),
    "double zero": ("float64", 0.0),
    "double nan": ("float64", float("nan")),
    "double minus infinity": ("float64", float("-inf")),
    "float": ("float32", 0.5),
    "int64": ("int64", 7),
    "int64 zero": ("int64", 0),
    "int64 minus one": ("int64", -1),
    "int64 beyond 2^53": ("int64", 2**53 + 1),
    "int64 most": ("int64", 2**63 - 1),
    "int64 least": ("int64", -(2**63)),
    "int32": ("int32", -1),
    "int32 most": ("int32", 2**31 - 1),
    "string": ("string", "hi"),
    "string empty": ("string", ""),
    "string not ASCII": ("string", "Zoë ☃"),
    "string long": ("string", "x" * 300),
    "bytes": ("bytes", "00ff0d0a"),
    "bool true": ("bool", True),
    "bool false": ("bool", False),
    "timestamp": ("timestamp", 1700000000),
    "timestamp before 1970": ("timestamp", -1),
    "list of double": ("list[float64]", [1.0, 2.0]),
    "list of double empty": ("list[float64]", []),
    "list of float": ("list[float32]", [1.0, 2.0]),
    "list of int64": ("list[int64]", [2**53 + 1, -1, 0]),
    "list of int32": ("list[int32]", [-1, 0, 300]),
    "list of string": ("list[string]", ["a", "", "☃"]),
    "list of bytes": ("list[bytes]", ["00", ""]),
    "list of bool": ("list[bool]", [True, False]),
    "list of timestamp": ("list[timestamp]", [1700000000, -1]),
    "null": ("float64", None),
    "null said": ("float64", "NULL"),
}


def main() -> None:
    warnings.simplefilter("ignore")
    golden = {
        "feast": __version__,
        "project": PROJECT,
        "view": VIEW,
        "time_us": int(TIME.timestamp()) * 1_000_000 + TIME.microsecond,
        "keys": [of_key(name, parts) for name, parts in KEYS.items()],
        "values": [of_value(name, kind, value) for name, (kind, value) in VALUES.items()],
        "row": of_row(),
    }
    target = Path(__file__).with_name("feast.json")
    target.write_text(json.dumps(golden, indent=1, ensure_ascii=False, allow_nan=True) + "\n")
    sys.stdout.write(f"{target}\n")


def of_key(name: str, parts: list[tuple[str, str, Any]]) -> dict[str, Any]:
    """The Redis key in each version; None where Feast refuses."""
    key = EntityKey(
        join_keys=[part[0] for part in parts], entity_values=[as_value(kind, value) for _, kind, value in parts]
    )
    versions: dict[str, str | None] = {}
    for version in (1, 2, 3):
        try:
            raw = serialize_entity_key(key, entity_key_serialization_version=version)
            versions[str(version)] = (raw + PROJECT.encode()).hex()
        except Exception as error:  # noqa: BLE001 — whatever Feast raises means that it cannot
            sys.stdout.write(f"{name}, version {version}: {error}\n")
            versions[str(version)] = None
    return {"name": name, "entities": parts, "versions": versions}


def of_value(name: str, kind: str, value: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "value": value, "bytes": as_value(kind, value).SerializeToString().hex()}


def of_row() -> dict[str, Any]:
    """A whole hash, as the online store writes it."""
    config = RepoConfig(
        project=PROJECT,
        provider="local",
        registry="/tmp/none.db",  # noqa: S108 — never opened
        online_store={"type": "redis", "skip_dedup": True},
        entity_key_serialization_version=3,
    )
    driver = Entity(name="driver_id", join_keys=["driver_id"], value_type=ValueType.INT64)
    view = FeatureView(
        name=VIEW,
        entities=[driver],
        schema=[Field(name="conv_rate", dtype=Float64)],
        source=FileSource(path="none.parquet", timestamp_field="at"),
    )
    store, noted = RedisOnlineStore(), Noted()
    store._client = noted
    values = {
        "conv_rate": Value(double_val=0.25),
        "acc_rate": Value(float_val=0.5),
        "avg_daily_trips": Value(int64_val=2**53 + 1),
        "name": Value(string_val="Zoë"),
        "last_seen": Value(unix_timestamp_val=1700000000),
        "vip": Value(),
    }
    key = EntityKey(join_keys=["driver_id"], entity_values=[Value(int64_val=1001)])
    store.online_write_batch(config, view, [(key, values, TIME, None)], None)
    (written,) = noted.written
    return {
        "key": written[0].hex(),
        "fields": {
            (field.encode() if isinstance(field, str) else field).hex(): raw.hex() for field, raw in written[1].items()
        },
    }


class Noted:
    """Stands in for the client and its pipeline."""

    def __init__(self) -> None:
        self.written: list[tuple[bytes, dict[Any, bytes]]] = []

    def pipeline(self, **_: object) -> Noted:
        return self

    def __enter__(self) -> Noted:
        return self

    def __exit__(self, *_: object) -> None: ...

    def hset(self, key: bytes, mapping: dict[Any, bytes]) -> None:
        self.written.append((key, mapping))

    def execute(self) -> list[object]:
        return [None] * len(self.written)


def as_value(kind: str, value: Any) -> Value:
    if value is None:
        return Value()
    if value == "NULL":
        return Value(null_val=Null.NULL)
    return {
        "float64": lambda: Value(double_val=value),
        "float32": lambda: Value(float_val=value),
        "int64": lambda: Value(int64_val=value),
        "int32": lambda: Value(int32_val=value),
        "string": lambda: Value(string_val=value),
        "bytes": lambda: Value(bytes_val=bytes.fromhex(value)),
        "bool": lambda: Value(bool_val=value),
        "timestamp": lambda: Value(unix_timestamp_val=value),
        "list[float64]": lambda: Value(double_list_val=DoubleList(val=value)),
        "list[float32]": lambda: Value(float_list_val=FloatList(val=value)),
        "list[int64]": lambda: Value(int64_list_val=Int64List(val=value)),
        "list[int32]": lambda: Value(int32_list_val=Int32List(val=value)),
        "list[string]": lambda: Value(string_list_val=StringList(val=value)),
        "list[bytes]": lambda: Value(bytes_list_val=BytesList(val=[bytes.fromhex(item) for item in value])),
        "list[bool]": lambda: Value(bool_list_val=BoolList(val=value)),
        "list[timestamp]": lambda: Value(unix_timestamp_list_val=Int64List(val=value)),
    }[kind]()


if __name__ == "__main__":
    main()

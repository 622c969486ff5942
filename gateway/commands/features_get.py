"""``lockgate features get``: what the store has for some entities, how old it is, and what a model would be given."""

from __future__ import annotations

import asyncio
import csv
import json
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from feature_cache.cells import cell_parser
from feature_cache.errors import CorruptValue, FeatureError, NotHeld
from feature_cache.policy import FeatureStatus, Policy
from feature_cache.row import Row, RowState
from feature_cache.schema import FeatureView
from feature_cache.store import FeatureStore
from gateway.commands.features_target import FeatureTarget, refused
from gateway.core.errors import ConfigError

__all__ = ["get_features"]

_UNITS = (("d", 86400), ("h", 3600), ("m", 60))


def get_features(target: FeatureTarget, keys: Sequence[str], console: Console, *, as_json: bool) -> int:
    """0 when all entities are there. Raises ``ConfigError``."""
    entities = [_entity(target.view, key) for key in keys]
    try:
        rows = asyncio.run(_read(target, entities))
    except FeatureError as error:
        raise refused(error) from error
    now_us = time.time_ns() // 1000
    shown = [_shown(target.view, key, row, now_us) for key, row in zip(keys, rows, strict=True)]
    if as_json:
        console.print_json(json.dumps(shown, ensure_ascii=False, default=_plain))
    else:
        for one in shown:
            _print(one, console)
    return 0 if all(row.state is RowState.FOUND for row in rows) else 1


async def _read(target: FeatureTarget, entities: list[list[object]]) -> list[Row]:
    async with FeatureStore.open(target.store, [target.view], credentials=target.credentials, patience=2.0) as store:
        rows = await store.read(target.view.name, entities)
    if unavailable := next((row for row in rows if row.state is RowState.UNAVAILABLE), None):
        raise FeatureError(f"the store cannot be asked: {unavailable.error}")
    return rows


def _entity(view: FeatureView, key: str) -> list[object]:
    """The values of one entity from the command line: separated by commas where there are several."""
    cells = [key] if len(view.entities) == 1 else next(csv.reader([key]), [])
    names = ", ".join(entity.name for entity in view.entities)
    if len(cells) != len(view.entities):
        raise ConfigError(f"key {key}", f"expected {len(view.entities)} values separated by commas: {names}")
    try:
        return [cell_parser(each.datatype, True)(cell) or "" for each, cell in zip(view.entities, cells, strict=True)]
    except ValueError as error:
        raise ConfigError(f"key {key}", f"{error}, for {names}") from error


def _shown(view: FeatureView, key: str, row: Row, now_us: int) -> dict[str, Any]:
    facts: dict[str, Any] = {"key": key, "state": row.state.value, "age_seconds": None, "features": {}}
    if row.event_time_us is not None:
        facts["age_seconds"] = (now_us - row.event_time_us) / 1_000_000
    if row.error:
        facts["error"] = row.error
    for place, feature in enumerate(view.features):
        try:
            resolved = Policy(view, {place}).resolve(row, now_us)
            value, status = resolved.values[place], resolved.statuses[place].value
        except (NotHeld, CorruptValue) as error:
            value, status = None, f"fails: {str(error).rpartition(': ')[2]}"
        facts["features"][feature.name] = {"value": value, "source": _source(view, status)}
    return facts


def _source(view: FeatureView, status: str) -> str:
    words = {
        FeatureStatus.PRESENT.value: f"store ({view.format})",
        FeatureStatus.STALE.value: "store, stale",
        FeatureStatus.DEFAULT.value: "default",
        FeatureStatus.NULL.value: "null, by policy",
    }
    return words.get(status, status)


def _print(one: dict[str, Any], console: Console) -> None:
    age = one["age_seconds"]
    title = f"{one['key']}: {one['state']}" + ("" if age is None else f", {_age(age)} old")
    table = Table("feature", "value", "source", title=Text(title), title_justify="left")
    for name, facts in one["features"].items():
        table.add_row(name, Text(json.dumps(facts["value"], ensure_ascii=False, default=_plain)), Text(facts["source"]))
    console.print(table)
    if one.get("error"):
        console.print(Text(one["error"]), soft_wrap=True)


def _plain(value: object) -> str:
    """Bytes, which JSON has no word for."""
    return value.hex() if isinstance(value, bytes) else str(value)


def _age(seconds: float) -> str:
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"

"""The sample requests of the examples, and the answers that plain R and plain ONNX Runtime give to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.support.stack import ROOT

__all__ = ["EXAMPLES", "Frame", "expected", "sample", "signature"]

EXAMPLES = ROOT / "examples"
_MODELS = {
    ("diamond-price", "blue"): "diamonds-ranger",
    ("diamond-price", "green"): "diamonds-boosting",
    ("tumor", "blue"): "tumor-glm",
    ("tumor", "green"): "tumor-boosting",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows with names for their columns."""

    columns: list[str]
    rows: list[list[Any]]

    def head(self, count: int, start: int = 0) -> Frame:
        return Frame(self.columns, self.rows[start : start + count])

    def records(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=False)) for row in self.rows]

    def by_name(self) -> dict[str, list[Any]]:
        return {name: [row[i] for row in self.rows if i < len(row)] for i, name in enumerate(self.columns)}

    def without(self, column: str) -> Frame:
        at = self.columns.index(column)
        return Frame(self.columns[:at] + self.columns[at + 1 :], [row[:at] + row[at + 1 :] for row in self.rows])

    def with_value(self, row: int, column: str, value: Any) -> Frame:
        rows = [list(values) for values in self.rows]
        rows[row][self.columns.index(column)] = value
        return Frame(self.columns, rows)


@cache
def sample(endpoint: str) -> Frame:
    """All 200 rows."""
    body = json.loads((EXAMPLES / "requests" / f"{endpoint}.json").read_bytes())["input_data"]
    return Frame(body["columns"], body["data"])


@cache
def expected(endpoint: str, deployment: str) -> dict[str, list[Any]]:
    """Output → what it is for each of the rows."""
    found: dict[str, list[Any]] = json.loads(
        (EXAMPLES / "requests" / f"{endpoint}.{deployment}.expected.json").read_bytes()
    )
    return found


@cache
def signature(endpoint: str, deployment: str) -> dict[str, str]:
    """Input → its Open Inference Protocol datatype."""
    document = json.loads((EXAMPLES / "models" / _MODELS[endpoint, deployment] / "signature.json").read_bytes())
    return {column["name"]: column.get("datatype", "BYTES") for column in document["inputs"]}

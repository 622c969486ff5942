"""
The answer to one row over HTTP, put together from bytes made once: what most answers are.

Between answers of one deployment only the id and the elements differ. Names, datatypes and shapes are encoded once and
the rest is set between them; numbers and strings are written by the same encoder that writes whole documents, so the
bytes are the same as if all of it had been encoded at once.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

import msgspec

from gateway.core.rows import Layout, Rows
from gateway.core.signature import Kind
from gateway.edge.oip_outputs import OutputPlan

__all__ = ["OneRowAnswer"]

_FEW_ELEMENTS = 64
"""Of one output: beyond it numpy takes the numbers out of a record sooner."""

_encode = msgspec.json.Encoder().encode


class OneRowAnswer:
    """Answers of one deployment with all outputs of one layout. Only where ``is_plain``."""

    __slots__ = ("_binary", "_columns", "_end", "_numbers", "_start", "is_plain")

    def __init__(self, endpoint: str, deployment: str, layout: Layout) -> None:
        is_short = all(column.elements <= _FEW_ELEMENTS for column in layout.columns)
        self.is_plain = len(layout.columns) > 0 and layout.is_resolved and is_short
        self._start = _open({"model_name": endpoint, "model_version": deployment})
        self._end = b"}]}"
        self._binary: list[tuple[bytes, Any]] = []
        """What precedes the number of bytes, and the output."""
        self._columns: list[tuple[bytes, Any, int, list[bytes] | None, int]] = []
        """What precedes the elements, how they are unpacked and from where, encoded levels, and the place of text."""
        self._numbers: tuple[bytes, Any] | None = None
        """Where the only output is numbers: all that precedes them without an id, and how they are unpacked."""
        if not self.is_plain:
            return
        offset = 0
        before = b',"outputs":['
        for column in OutputPlan.of(layout).columns:
            declared = column.column
            head = before + _open({"name": column.name, "datatype": column.datatype, "shape": [1, *column.tail]})
            self._binary.append((head + b',"parameters":{"binary_data_size":', column))
            data = head + b',"data":'
            if declared.is_text:
                self._columns.append((data, None, 0, None, layout.texts.index(declared)))
            else:
                element = struct.Struct(f"<{declared.elements}{declared.storage.code}")
                levels = None
                if declared.kind is Kind.CATEGORICAL:
                    # A missing level has code -1, which is the last.
                    levels = [_encode(level) for level in (*declared.levels, None)]
                self._columns.append((data, element.unpack_from, offset, levels, -1))
                offset += element.size
            before = b"},"
        if len(self._columns) == 1:
            ((before, unpack, _, levels, _),) = self._columns
            self._numbers = (self._start + before, unpack) if unpack is not None and levels is None else None

    @staticmethod
    @lru_cache(maxsize=1024)
    def of(endpoint: str, deployment: str, layout: Layout) -> OneRowAnswer:
        """Made once; those of deployments that were replaced give way to others."""
        return OneRowAnswer(endpoint, deployment, layout)

    def json(self, request_id: str | None, rows: Rows) -> bytes:
        """All of it in JSON."""
        records = rows.records
        if self._numbers is not None and not request_id:
            before, unpack = self._numbers
            return before + _encode(unpack(records)) + self._end
        parts = [self._start]
        if request_id:
            parts += b',"id":', _encode(request_id)
        for before, unpack, offset, levels, text in self._columns:
            if unpack is None:
                parts += before, _encode(rows.texts[text])
            elif levels is None:
                parts += before, _encode(unpack(records, offset))
            else:
                parts += before, b"[", b",".join([levels[code] for code in unpack(records, offset)]), b"]"
        parts.append(self._end)
        return b"".join(parts)

    def binary(self, request_id: str | None, rows: Rows) -> tuple[bytes, list[bytes]]:
        """The JSON, and the elements of all outputs that come behind it."""
        parts = [self._start]
        raws = []
        if request_id:
            parts += b',"id":', _encode(request_id)
        for before, column in self._binary:
            raw = column.raw(rows)
            raws.append(raw)
            parts += before, b"%d}" % len(raw)
        parts.append(self._end)
        return b"".join(parts), raws


def _open(document: dict[str, Any]) -> bytes:
    """Its JSON without the brace that closes it."""
    return _encode(document)[:-1]

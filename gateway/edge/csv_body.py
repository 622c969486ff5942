"""CSV → table: RFC 4180, the first line holds the column names. What the cells mean is for the signature to say."""

from __future__ import annotations

import csv
import io

from gateway.core.errors import InvalidInput
from gateway.core.payload import Table

__all__ = ["csv_table"]


def csv_table(body: bytes) -> Table:
    """Raises ``InvalidInput`` naming the line. Empty lines are skipped, an empty cell is a missing value."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput("the body is not UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] | None = None
    rows: list[list[str]] = []
    try:
        for cells in reader:
            if not cells:
                continue
            if columns is None:
                columns = cells
            elif len(cells) != len(columns):
                raise InvalidInput(f"line {reader.line_num}: expected {len(columns)} cells, got {len(cells)}")
            else:
                rows.append(cells)
    except csv.Error as error:
        raise InvalidInput(f"line {reader.line_num}: {error}") from error
    if columns is None:
        raise InvalidInput("expected a first line with the column names, the body is empty")
    return Table(columns, rows, is_text=True)

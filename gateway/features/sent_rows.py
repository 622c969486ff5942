"""
The rows of a request as it wrote them, whatever its form: the names of its columns, and a sequence of values for each.

Nothing is looked at but the shape; what stands in a row is for whoever completes it.
"""

from __future__ import annotations

from typing import Any

from gateway.core.errors import InvalidInput
from gateway.core.payload import Named, Table
from gateway.features.assemble import Assembler, rows_in
from gateway.features.plan import FillPlan

__all__ = ["named_rows", "table_rows"]


def table_rows(table: Table, plan: FillPlan, assembler: Assembler) -> tuple[tuple[str, ...], list[Any]]:
    """Raises ``InvalidInput`` for rows of another length than their columns."""
    rows = table.rows
    assembler.check_count(len(rows))
    if table.columns is None:
        if len(plan.request_names) == 1:
            rows = [row if type(row) is list else [row] for row in rows]
        names = plan.positional(len(rows[0]) if rows and type(rows[0]) is list else 0)
    else:
        names = tuple(table.columns)
    for number, row in enumerate(rows):
        if type(row) is not list or len(row) != len(names):
            got = f"{len(row)} values" if type(row) is list else "no list"
            raise InvalidInput(f"row {number}: expected a list of {len(names)} values, got {got}")
    return names, rows


def named_rows(payload: Named, plan: FillPlan) -> tuple[tuple[str, ...], list[Any]]:
    """Likewise of columns of different lengths."""
    columns = {name: values for name, values in payload.columns.items() if name in plan.known}
    rows_in(columns)
    if not columns:
        plan.fill(tuple(payload.columns))
    return tuple(columns), list(zip(*columns.values(), strict=True))

"""``lockgate features diff``: does the store serve what the model was trained with?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.table import Table as RichTable
from rich.text import Text

from feature_cache.differ import Skew, compare
from feature_cache.errors import FeatureError
from feature_cache.store import FeatureStore
from feature_cache.tables import open_table
from gateway.commands.features_target import FeatureTarget, refused

__all__ = ["DiffOptions", "diff_features"]

_REJECTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffOptions:
    """The command line."""

    data: Path
    target: FeatureTarget
    event_time: str | None = None
    assume_utc: bool = False


def diff_features(options: DiffOptions, console: Console) -> int:
    """0 when the store would serve just what is in the file, else 1. Raises ``ConfigError``."""
    try:
        with ExitStack() as stack:
            skew = asyncio.run(_compare(options, console, stack))
    except (FeatureError, OSError) as error:
        raise refused(error) from error
    _print(skew, console)
    return 0 if skew.is_clean else 1


async def _compare(options: DiffOptions, console: Console, stack: ExitStack) -> Skew:
    now_us = time.time_ns() // 1000
    view = options.target.view
    table = open_table(options.data, view, now_us=now_us, event_time=options.event_time, assume_utc=options.assume_utc)
    tell: Callable[[int], None] = _nothing
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
        progress = stack.enter_context(Progress(*columns, console=console, transient=True))
        task = progress.add_task(view.name, total=max(table.size, 1))

        tell = partial(_move, progress, task)

    async with FeatureStore.open(
        options.target.store, [view], credentials=options.target.credentials, patience=2.0
    ) as store:
        return await compare(table, view, store, now_us=now_us, on_progress=tell)


def _nothing(position: int) -> None:
    """Where there is no terminal, there is no bar."""


def _move(progress: Progress, task: TaskID, position: int) -> None:
    progress.update(task, completed=position)


def _print(skew: Skew, console: Console) -> None:
    table = RichTable("feature", "same", "different", "no value", "stale", "largest difference")
    for name, one in skew.features.items():
        largest = f"{one.largest:.3g}" if one.different else ""
        table.add_row(name, str(one.same), str(one.different), str(one.missing), str(one.stale), largest)
    console.print(table)
    times = "" if skew.older is None else f", {skew.older} older and {skew.newer} newer than in the file"
    console.print(f"{skew.rows} rows: {skew.not_found} not in the store, {skew.corrupt} damaged there{times}")
    if skew.worst:
        worst = RichTable("row", "entity", "feature", "in the file", "in the store", "difference", title="The worst")
        for each in skew.worst:
            entity = ", ".join(str(value) for value in each.entity)
            values = (Text(repr(each.in_file)), Text(repr(each.in_store)))
            worst.add_row(str(each.row), Text(entity), each.feature, *values, f"{each.size:.3g}")
        console.print(worst)
    for reject in skew.rejects[:_REJECTS]:
        console.print(Text(f"row {reject.row}: {reject.problem}"), soft_wrap=True)
    if len(skew.rejects) > _REJECTS:
        console.print(f"… {len(skew.rejects)} rows of the file cannot be read")

"""``lockgate features load``: a file of features into the store, with a bar, a checkpoint and a list of rejects."""

from __future__ import annotations

import asyncio
import csv
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from feature_cache.clients import open_client
from feature_cache.errors import FeatureError
from feature_cache.load import Checkpoint, Loaded, identity, load_table
from feature_cache.tables import Reject, Table, open_table
from feature_cache.writer import Writer
from gateway.commands.features_target import FeatureTarget, refused

__all__ = ["LoadOptions", "load_features"]

_SHOWN = 20
"""Rejects that are printed; a file takes all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """The command line."""

    data: Path
    target: FeatureTarget
    event_time: str | None = None
    assume_utc: bool = False
    is_dry: bool = False
    overwrite: bool = False
    restart: bool = False
    checkpoint: Path | None = None
    rejects: Path | None = None


def load_features(options: LoadOptions, console: Console) -> int:
    """0 when all rows are in the store, 1 when some were rejected. Raises ``ConfigError``."""
    view, data = options.target.view, options.data
    now_us, done = time.time_ns() // 1000, Loaded()
    try:
        table = open_table(data, view, now_us=now_us, event_time=options.event_time, assume_utc=options.assume_utc)
        note = Checkpoint(
            options.checkpoint or data.with_name(f".{data.name}.{view.name}.checkpoint"),
            identity(data, view, options.target.store.url),
        )
        known = None if options.restart or options.is_dry else note.read()
        if known is not None:
            done, now_us = known
            # The same moment as at first, or the second half would be newer than the first.
            table = open_table(data, view, now_us=now_us, event_time=options.event_time, assume_utc=options.assume_utc)
            console.print(f"going on behind row {done.rows}; --restart begins anew")
        if table.ignored:
            console.print(Text(f"not in the view, ignored: {', '.join(table.ignored)}"))
        with ExitStack() as stack:
            on_reject = _reject_printer(options.rejects, console, stack)
            bar = _bar(console, f"{view.name}", table, stack)
            try:
                asyncio.run(
                    _load(options, table, done=done, note=note, now_us=now_us, on_progress=bar, on_reject=on_reject)
                )
            except KeyboardInterrupt:
                stack.close()
                console.print(f"stopped behind row {done.rows}; the same command goes on from there")
                return 130
        if not options.is_dry:
            note.remove()
    except (FeatureError, OSError) as error:
        raise refused(error) from error
    console.print(_summary(done, options))
    return 1 if done.rejected else 0


async def _load(
    options: LoadOptions,
    table: Table,
    *,
    done: Loaded,
    note: Checkpoint,
    now_us: int,
    on_progress: Callable[[Loaded, int], None],
    on_reject: Callable[[Reject], None],
) -> None:
    store = options.target.store
    async with open_client(store, options.target.credentials) as client:
        writer = Writer(client, options.target.view, prefix=store.prefix, overwrite=options.overwrite)
        await load_table(
            table,
            writer,
            now_us=now_us,
            done=done,
            checkpoint=note,
            is_dry=options.is_dry,
            on_progress=on_progress,
            on_reject=on_reject,
        )


def _bar(console: Console, name: str, table: Table, stack: ExitStack) -> Callable[[Loaded, int], None]:
    if not console.is_terminal:
        return lambda _done, _position: None
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]} rows"),
    )
    progress = stack.enter_context(Progress(*columns, TimeRemainingColumn(), console=console))
    task = progress.add_task(name, total=max(table.size, 1), rows=0)
    return lambda done, position: progress.update(task, completed=position, rows=done.rows)


def _reject_printer(path: Path | None, console: Console, stack: ExitStack) -> Callable[[Reject], None]:
    shown = 0
    out = None
    if path is not None:
        out = csv.writer(stack.enter_context(path.open("w", encoding="utf-8", newline="")))
        out.writerow(["row", "problem"])

    def tell(reject: Reject) -> None:
        nonlocal shown
        if out is not None:
            out.writerow([reject.row, reject.problem])
        if shown < _SHOWN:
            console.print(Text(f"row {reject.row}: {reject.problem}"), soft_wrap=True)
        elif shown == _SHOWN:
            console.print("… and more; --rejects FILE takes all of them")
        shown += 1

    return tell


def _summary(done: Loaded, options: LoadOptions) -> str:
    if options.is_dry:
        fine = done.rows - done.rejected
        return f"{done.rows} rows: {fine} can be loaded, {done.rejected} rejected; nothing was written"
    return (
        f"{done.rows} rows: {done.written} written, {done.skipped} skipped (the store has them as new or newer), "
        f"{done.rejected} rejected"
    )

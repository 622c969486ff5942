"""What a person sees while models load: a live table at a terminal, one plain line per change elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from workers.child import ChildState

__all__ = ["LoadView", "load_view"]

_COLOURS = {"ready": "green", "failed": "red", "waiting": "yellow"}


class LoadView(Protocol):
    """Told about every change of a process."""

    def update(self, state: ChildState) -> None: ...


@contextmanager
def load_view(console: Console, names: Iterable[str]) -> Iterator[LoadView]:
    """Show the progress of the deployments ``names`` for the length of the block."""
    if not console.is_terminal:
        yield _Lines(console, names)
        return
    columns = (SpinnerColumn(finished_text=" "), TextColumn("{task.description}"), TextColumn("{task.fields[phase]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        yield _Table(progress, names)


class _Lines:
    def __init__(self, console: Console, names: Iterable[str]) -> None:
        self._console = console
        self._shown = dict.fromkeys(names, "")

    def update(self, state: ChildState) -> None:
        line = f"{state.name}: {_told(state)}"
        if state.name in self._shown and line != self._shown[state.name]:
            self._shown[state.name] = line
            self._console.print(Text(line), soft_wrap=True)


class _Table:
    def __init__(self, progress: Progress, names: Iterable[str]) -> None:
        self._progress = progress
        self._rows = {name: progress.add_task(name, total=1, phase="starting") for name in names}

    def update(self, state: ChildState) -> None:
        if state.name in self._rows:
            colour = _COLOURS.get(state.phase, "default")
            is_over = state.phase in ("ready", "failed")
            told = _told(state).replace("[", r"\[")
            self._progress.update(
                self._rows[state.name], phase=f"[{colour}]{told}[/]", completed=1 if is_over else 0, refresh=True
            )


def _told(state: ChildState) -> str:
    match state.phase:
        case "ready":
            count = len(state.parts)
            return f"ready, {count} worker{'s' if count != 1 else ''}"
        case "failed" | "waiting" if state.reason:
            return f"{'failed' if state.phase == 'failed' else 'starts again'}: {state.reason}"
        case phase:
            return str(phase)

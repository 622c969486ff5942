from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from gateway.commands.loading import load_view
from workers.child import ChildState


def shown(*states: tuple[str, Any, str], is_terminal: bool = False) -> str:
    stream = io.StringIO()
    with load_view(Console(file=stream, force_terminal=is_terminal, width=80, height=20), ["a/blue"]) as view:
        for name, phase, reason in states:
            view.update(ChildState(name=name, parts=(f"{name}/0",), phase=phase, reason=reason))
    return stream.getvalue()


def test_elsewhere_than_at_a_terminal_each_change_is_one_plain_line() -> None:
    states: list[tuple[str, Any, str]] = [("a/blue", "loading", ""), ("a/blue", "loading", ""), ("a/blue", "ready", "")]

    assert shown(*states) == "a/blue: loading\na/blue: ready, 1 worker\n"


def test_why_a_model_failed_is_on_its_line() -> None:
    assert shown(("a/blue", "failed", "no [model] here")) == "a/blue: failed: no [model] here\n"


def test_a_worker_that_starts_again_says_why() -> None:
    assert shown(("a/blue", "waiting", "killed by SIGSEGV")) == "a/blue: starts again: killed by SIGSEGV\n"


def test_processes_that_load_no_model_are_not_shown() -> None:
    assert shown(("gateway/0", "ready", "")) == ""


def test_at_a_terminal_there_is_a_table_that_shows_brackets_as_they_are() -> None:
    assert "failed: no [model] here" in shown(("a/blue", "failed", "no [model] here"), is_terminal=True)

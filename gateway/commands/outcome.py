"""How a change of what is served ended: what the commands print, and their exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from gateway.commands.admin_client import AdminClient, AdminReply
from gateway.control.diff import Change, sentence, summary

__all__ = ["Changer", "refused", "show_changes", "show_json"]

_CONFLICT = 412


@dataclass(frozen=True, slots=True, kw_only=True)
class Changer:
    """Makes changes and waits for them. ``wait`` in seconds; 0 does not wait."""

    client: AdminClient
    console: Console
    wait: int
    is_json: bool

    def change(
        self, method: str, path: str, body: Any = None, *, seen: int | None = None, shows_changes: bool = True
    ) -> int:
        """The exit code."""
        ask: Callable[[], AdminReply] = lambda: self.client.ask(  # noqa: E731
            method, path, body, seen=seen, query={"wait": self.wait} if self.wait else None, timeout=self.wait
        )
        if self.wait and self.console.is_terminal and not self.is_json:
            with self.console.status("waiting until every process runs it"):
                reply = ask()
        else:
            reply = ask()
        return self._told(reply, shows_changes=shows_changes)

    def _told(self, reply: AdminReply, *, shows_changes: bool) -> int:
        answer = reply.json
        if not isinstance(answer, dict) or "outcome" not in answer:
            return refused(reply, is_json=self.is_json)
        if self.is_json:
            show_json(answer)
        elif shows_changes:
            show_changes(msgspec.convert(answer["changes"], list[Change]), self.console)
        version, running = answer["version"], answer["running"]
        match answer["outcome"]:
            case "refused":
                _say(f"version {version} was refused: {answer['reason']}")
                _say(f"version {running} goes on; lockgate rollback --last takes version {version} back")
                return 1
            case "pending" if self.wait:
                _say(f"version {version} does not run everywhere after {self.wait} s; lockgate status tells more")
                return 1
            case "pending":
                _say(f"version {version} is written")
            case "superseded":
                _say(f"version {version} was written, and a later one was taken up: version {running} runs")
            case _:
                _say(f"version {version} runs everywhere")
        return 0


def show_changes(changes: Sequence[Change], console: Console) -> None:
    """One a line, and what all of it takes."""
    for change in changes:
        style = {"added": "green", "removed": "red", "changed": ""}[change.verb]
        mark = {"added": "+", "removed": "-", "changed": "~"}[change.verb]
        console.print(Text(f"{mark} {sentence(change)}", style=style), soft_wrap=True)
    console.print(Text(summary(changes), style="dim"), soft_wrap=True)


def refused(reply: AdminReply, *, is_json: bool) -> int:
    """What the server would not do; the exit code."""
    if is_json:
        show_json(reply.json)
    _say(reply.reason)
    if reply.status == _CONFLICT:
        _say("somebody else changed something meanwhile: look again, and repeat it")
    return 1


def show_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _say(text: str) -> None:
    sys.stderr.write(f"lockgate: {text}\n")

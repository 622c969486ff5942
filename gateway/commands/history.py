"""``lockgate history`` and ``lockgate rollback``: what was changed, when and by whom, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from gateway.commands.outcome import Changer, refused, show_changes, show_json
from gateway.control.diff import Change

__all__ = ["rollback", "show_history", "show_version", "when"]


def show_history(limit: int, changer: Changer) -> int:
    """Print the newest entries."""
    reply = changer.client.ask("GET", "/history", query={"limit": limit})
    if reply.status != 200:
        return refused(reply, is_json=changer.is_json)
    if changer.is_json:
        show_json(reply.json)
        return 0
    table = Table(box=None, pad_edge=False)
    for title in ("VERSION", "WHEN", "BY", "WHAT", ""):
        table.add_column(title)
    for entry in reply.json["entries"]:
        became = "runs" if entry["version"] == reply.json["running"] else ""
        if refused_for := entry.get("refused"):  # a server of before does not say it
            became = f"refused: {refused_for}"
        cells = [str(entry["version"]), when(entry["at"]), entry["by"], entry["what"], became]
        table.add_row(*map(Text, cells))
    changer.console.print(table)
    return 0


def show_version(version: int, changer: Changer) -> int:
    """Print one version, and what going back to it would change."""
    reply = changer.client.ask("GET", f"/history/{version}")
    if reply.status != 200:
        return refused(reply, is_json=changer.is_json)
    if changer.is_json:
        show_json(reply.json)
        return 0
    changer.console.print(Text(_entry(reply.json["state"]["entry"]), style="bold"))
    changer.console.print(Text("Going back to it would change:"))
    show_changes(msgspec.convert(reply.json["changes"], list[Change]), changer.console)
    return 0


def rollback(version: int | None, changer: Changer, *, with_new_files: bool) -> int:
    """Return to ``version``, or to what ran last before the newest."""
    seen = changer.client.ask("GET", "/state")
    if seen.status != 200:
        return refused(seen, is_json=changer.is_json)
    body = {"version": version, "with_new_files": with_new_files}
    return changer.change("POST", "/rollback", body, seen=seen.version)


def when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else "-"


def _entry(entry: Mapping[str, Any]) -> str:
    what = f": {entry['what']}" if entry["what"] else ""
    return f"version {entry['version']} of {when(entry['at'])} by {entry['by']}{what}"

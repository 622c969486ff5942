"""
``lockgate diff`` and ``lockgate apply``: what files would change of what is served, and changing it so.

``apply`` makes its change on the version that it has compared with, so that what was shown is what is done.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from gateway.commands.admin_client import AdminReply
from gateway.commands.desired_files import Desired, read_desired
from gateway.commands.outcome import Changer, refused, show_changes, show_json
from gateway.control.diff import Change

__all__ = ["apply", "diff"]


def diff(paths: Sequence[Path], changer: Changer, *, is_whole: bool) -> int:
    """Print the differences; 1 where they would be refused. Raises ``ConfigError`` for files that are wrong."""
    reply = _compared(read_desired(paths), changer, is_whole=is_whole)
    if reply.status != 200:
        return refused(reply, is_json=changer.is_json)
    if changer.is_json:
        show_json(reply.json)
    else:
        show_changes(_changes(reply), changer.console)
    return _problem(reply) or _refused_before(reply, changer)


def apply(paths: Sequence[Path], changer: Changer, *, prune: bool) -> int:
    """Change what is served to what the files say; with ``prune`` nothing else is served. Raises likewise."""
    desired = read_desired(paths)
    reply = _compared(desired, changer, is_whole=prune)
    if reply.status != 200:
        return refused(reply, is_json=changer.is_json)
    if not changer.is_json:
        show_changes(_changes(reply), changer.console)
    if code := _problem(reply):
        if changer.is_json:
            show_json(reply.json)
        return code
    method = "PUT" if prune else "PATCH"
    return changer.change(method, "/state", desired.body, seen=reply.json["version"], shows_changes=False)


def _compared(desired: Desired, changer: Changer, *, is_whole: bool) -> AdminReply:
    query: dict[str, Any] = {"whole": "true"} if is_whole else {}
    return changer.client.ask("POST", "/diff", desired.body, query=query)


def _changes(reply: AdminReply) -> list[Change]:
    return msgspec.convert(reply.json["changes"], list[Change])


def _refused_before(reply: AdminReply, changer: Changer) -> int:
    """Say that what was compared with does not run; 1 where the files say just that."""
    told = changer.client.ask("GET", "/status")
    progress = told.json["progress"] if told.status == 200 else {}
    refusal, version = progress.get("refused"), reply.json["version"]
    if not refusal or refusal["version"] != version:
        return 0
    runs = f"version {progress['running']} runs"
    sys.stderr.write(f"lockgate: compared with version {version}, which was refused ({refusal['reason']}); {runs}\n")
    return 0 if reply.json["changes"] else 1


def _problem(reply: AdminReply) -> int:
    problem = reply.json["problem"]
    if not problem:
        return 0
    sys.stderr.write(f"lockgate: this would be refused: {problem}\n")
    return 1

"""
What a group of workers tells the process that started it: one JSON object a line on standard output.

Many processes share that pipe (the parent of the workers and each worker), so a line is one ``write`` of less than
PIPE_BUF bytes: the kernel never mixes two of them. Models print what they like: ``claim_stdout`` moves the pipe to a
descriptor of its own and points descriptor 1 at standard error, so that ``print()`` in R or a library's chatter ends
in the log and never between two events.

Events: ``loading``, ``ready`` (worker, pid), ``failed`` (error), ``forked`` (worker, pid), ``exited``
(worker, pid, status).
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

import msgspec

__all__ = ["claim_stdout", "emit"]

_LINE = 4096
"""PIPE_BUF on Linux: writes up to it are atomic."""

_channel = [1]
"""The descriptor that events are written to: standard output belongs to the process, and so does this."""


def claim_stdout() -> None:
    """Keep standard output for events alone; everything else that is written to it goes to standard error."""
    if _channel[0] != 1:
        return
    sys.stdout.flush()
    _channel[0] = os.dup(1)
    os.dup2(2, 1)


def emit(event: str, **facts: Any) -> None:
    """Write one event. Long texts are cut to keep the line whole; a parent that has gone is no error here."""
    room = _LINE - 1
    line = msgspec.json.encode({"event": event, **facts})
    while len(line) > room:
        longest = max((k for k, v in facts.items() if isinstance(v, str)), key=lambda k: len(facts[k]), default=None)
        if longest is None or len(facts[longest]) < 16:
            raise ValueError(f"event {event!r} does not fit into {room} bytes")
        facts[longest] = facts[longest][: len(facts[longest]) * 3 // 4] + "…"
        line = msgspec.json.encode({"event": event, **facts})
    with suppress(BrokenPipeError):
        os.write(_channel[0], line + b"\n")

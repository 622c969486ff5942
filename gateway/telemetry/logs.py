"""
How events are written: one JSON object a line on standard error, or for a person at a terminal, in colour.

Whatever calls itself a key, a token or an authorization is blanked out before it is written, at any depth, and so is
what looks like one, in a traceback for instance. That is the last line of defence: nothing of that kind should be
handed to a logger in the first place. Libraries that log through ``logging`` come out in the same form, from warnings
upwards.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import msgspec
import structlog

__all__ = ["configure_logs", "redact"]

_SECRET = re.compile(r"(^|[-_.])(authorization|credential|key|password|passwd|secret|token|cookie)s?$", re.IGNORECASE)
_SHAPE = re.compile(r"lg_[A-Za-z0-9_-]{16,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
"""What a key of ours or a JSON Web Token looks like."""
_BLANK = "[redacted]"


def configure_logs(level: str = "info", stream: TextIO | None = None, *, is_terminal: bool | None = None) -> None:
    """Set up logging for this process, once, before anything is logged."""
    stream = stream or sys.stderr
    is_terminal = stream.isatty() if is_terminal is None else is_terminal
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    # Rich tracebacks show local variables, and those may be anything: the plain ones do not.
    last: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if is_terminal
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_to_json)]
    )
    last.append(_blank_shapes)
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank out values whose name says that they are secret."""
    for name, value in event.items():
        if _SECRET.search(name):
            event[name] = _BLANK
        elif isinstance(value, (Mapping, list, tuple)):
            event[name] = _without_secrets(value)
    return event


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: _BLANK if isinstance(name, str) and _SECRET.search(name) else _without_secrets(inner)
            for name, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_without_secrets(inner) for inner in value]
    return value


def _blank_shapes(_: Any, __: str, line: Any) -> Any:
    """The finished line without anything that looks like a credential."""
    return _SHAPE.sub(_BLANK, line) if isinstance(line, str) else line


def _to_json(event: Any, **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()

"""Channel arguments of grpcio, for whoever has them already: those that mean something here, as ``Limits``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from h2grpc.limits import Limits

__all__ = ["limits_from", "reuses_port"]

_FOREVER = 2**31 - 1


def limits_from(options: Sequence[tuple[str, Any]], base: Limits | None = None) -> Limits:
    """Options that are not known here are let pass, as grpcio does."""
    limits = base or Limits()
    changes: dict[str, Any] = {}
    for name, value in options:
        if name == "grpc.max_receive_message_length":
            changes["max_receive_message"] = _FOREVER if value < 0 else value
        elif name == "grpc.max_send_message_length":
            changes["max_send_message"] = None if value < 0 else value
        elif name == "grpc.max_metadata_size":
            changes["max_metadata"] = value
        elif name == "grpc.max_concurrent_streams":
            changes["max_streams"] = value
        elif name in _TIMES:
            changes[_TIMES[name]] = None if value >= _FOREVER else value / 1000
    return replace(limits, **changes)


def reuses_port(options: Sequence[tuple[str, Any]]) -> bool | None:
    """None if the options do not say."""
    return next((bool(value) for name, value in options if name == "grpc.so_reuseport"), None)


_TIMES = {
    "grpc.keepalive_time_ms": "keepalive",
    "grpc.keepalive_timeout_ms": "keepalive_timeout",
    "grpc.max_connection_idle_ms": "max_idle",
    "grpc.max_connection_age_ms": "max_age",
    "grpc.max_connection_age_grace_ms": "max_age_grace",
}

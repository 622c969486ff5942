"""
Whether a port is free, asked before anything is started.

Gateways share their ports (SO_REUSEPORT), so a second server on the same port would not fail: it would silently take
half of the connections. Binding without sharing finds that out.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

from gateway.core.errors import ConfigError

__all__ = ["refuse_taken_ports"]


def refuse_taken_ports(ports: Mapping[str, tuple[str, int]]) -> None:
    """``ports``: name of the setting → host and port; port 0 is always free. Raises ``ConfigError``."""
    asked: dict[int, str] = {}
    for setting, (host, port) in ports.items():
        if port == 0:
            continue
        if port in asked:
            raise ConfigError(setting, f"port {port} is already that of {asked[port]}")
        asked[port] = setting
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except PermissionError as error:
                raise ConfigError(setting, f"port {port} needs privileges that this user does not have") from error
            except OSError as error:
                raise ConfigError(setting, f"{host}:{port} cannot be listened on: {error.strerror}") from error

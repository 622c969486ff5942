"""Where the admin API of a server is, by its state directory: who shows a server's key asks that server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.core.errors import ConfigError

__all__ = ["AdminPort", "admin_port_of"]

_DEFAULT = 8445
_HELP = "Port of the admin API on loopback \\[default: that of the server of --state-dir, else 8445]."

AdminPort = Annotated[int | None, typer.Option(min=1, max=65535, help=_HELP)]


def admin_port_of(state_dir: Path) -> int:
    """As the server was started that serves from there, or did last; the usual one where nothing tells."""
    from gateway.control.served import read_served

    try:
        port = (read_served(state_dir / "run" / "served.json").settings or {}).get("admin_port")
    except ConfigError:
        return _DEFAULT
    return port if isinstance(port, int) and 0 < port < 65536 else _DEFAULT

"""The options of ``lockgate compare``; what it does is in ``gateway.commands.compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.admin_port import AdminPort, admin_port_of

__all__ = ["compare_command"]

_FILE_WIDTH = 160


def compare_command(
    endpoint: Annotated[str, typer.Argument(help="Name of the endpoint.", metavar="ENDPOINT")],
    *,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    admin_port: AdminPort = None,
    state_dir: Annotated[Path, typer.Option(help="Keys of this server.")] = Path(".lockgate"),
    key_file: Annotated[
        Path | None, typer.Option(help="File with a key that may read the endpoint \\[default: STATE_DIR/demo.key].")
    ] = None,
) -> None:
    """Show what the shadows of ENDPOINT answer otherwise than its primary."""
    from rich.console import Console

    from gateway.commands.compare import CompareOptions, compare

    options = CompareOptions(
        endpoint=endpoint,
        admin_port=admin_port or admin_port_of(state_dir),
        key_file=key_file or state_dir / "demo.key",
        is_json=json,
    )
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_FILE_WIDTH)
    raise typer.Exit(compare(options, console))

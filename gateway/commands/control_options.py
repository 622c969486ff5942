"""The options of the commands that look at what is served and change it; what they do is in the files they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.admin_port import AdminPort, admin_port_of
from gateway.core.errors import ConfigError

if TYPE_CHECKING:
    from gateway.commands.outcome import Changer

__all__ = ["add_control_commands"]

_FILE_WIDTH = 160
_WAIT = 300

Endpoint = Annotated[str, typer.Argument(help="Name of the endpoint.", metavar="ENDPOINT")]
Weights = Annotated[
    list[str] | None,
    typer.Argument(help="Such as blue=80 green=20; without any they are shown.", metavar="NAME=PERCENT"),
]
Shadows = Annotated[
    list[str] | None,
    typer.Argument(help="Such as candidate=20; without any they are shown.", metavar="NAME=PERCENT"),
]
Files = Annotated[
    list[Path] | None,
    typer.Option(
        "--file", "-f", help="An endpoint's or view's file, a folder, or a model; may be given again.", exists=True
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print what the admin API answers.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until every process runs it.")]
Wait = Annotated[int, typer.Option("--wait", min=1, max=600, help="Seconds to wait until every process runs it.")]
StateDir = Annotated[Path, typer.Option(help="Keys of this server.")]
KeyFile = Annotated[Path | None, typer.Option(help="File with a key; STATE_DIR/admin.key without it.")]

STATE = Path(".lockgate")


def add_control_commands(app: typer.Typer) -> None:
    """All of them."""
    for command in (status, diff, apply, traffic, mirror, history, rollback):
        app.command()(command)


def status(
    *, json: Json = False, admin_port: AdminPort = None, state_dir: StateDir = STATE, key_file: KeyFile = None
) -> None:
    """Show which version runs, and how endpoints and processes do. Exits with 1 where something is wrong."""
    from gateway.commands.status import status

    raise typer.Exit(status(_changer(admin_port, state_dir, key_file, is_json=json)))


def diff(
    path: Annotated[
        Path | None, typer.Argument(help="A folder, compared whole; or one file.", metavar="PATH", exists=True)
    ] = None,
    *,
    file: Files = None,
    json: Json = False,
    admin_port: AdminPort = None,
    state_dir: StateDir = STATE,
    key_file: KeyFile = None,
) -> None:
    """Show what files would change of the newest version. Exits with 1 where they would be refused, or say what was."""
    from gateway.commands.apply import diff

    if (path is None) == (not file):
        raise ConfigError("PATH", "expected a folder or file, or --file")
    changer = _changer(admin_port, state_dir, key_file, is_json=json)
    is_whole = path is not None and path.is_dir()
    raise typer.Exit(diff([path] if path else file or [], changer, is_whole=is_whole))


def apply(
    *,
    file: Files = None,
    prune: Annotated[bool, typer.Option("--prune", help="With one folder: serve nothing else any more.")] = False,
    wait: Wait = _WAIT,
    no_wait: NoWait = False,
    json: Json = False,
    admin_port: AdminPort = None,
    state_dir: StateDir = STATE,
    key_file: KeyFile = None,
) -> None:
    """Change what is served to what files say, and wait until it is served so, or refused (then exit with 1)."""
    from gateway.commands.apply import apply

    if not file:
        raise ConfigError("--file", "expected at least one")
    if prune and not (len(file) == 1 and file[0].is_dir()):
        raise ConfigError("--prune", "expected one --file, and a folder")
    changer = _changer(admin_port, state_dir, key_file, is_json=json, wait=0 if no_wait else wait)
    raise typer.Exit(apply(file, changer, prune=prune))


def traffic(
    endpoint: Endpoint,
    weights: Weights = None,
    *,
    wait: Wait = _WAIT,
    no_wait: NoWait = False,
    json: Json = False,
    admin_port: AdminPort = None,
    state_dir: StateDir = STATE,
    key_file: KeyFile = None,
) -> None:
    """Show or set the weights of ENDPOINT's deployments. They sum to 100, or to 0; who is not named gets nothing."""
    from gateway.commands.traffic import percents, set_percents, show_percents

    changer = _changer(admin_port, state_dir, key_file, is_json=json, wait=0 if no_wait else wait)
    if not weights:
        raise typer.Exit(show_percents("traffic", endpoint, changer))
    raise typer.Exit(set_percents("traffic", endpoint, percents(weights), changer))


def mirror(
    endpoint: Endpoint,
    shadows: Shadows = None,
    *,
    off: Annotated[bool, typer.Option("--off", help="Mirror to nobody.")] = False,
    wait: Wait = _WAIT,
    no_wait: NoWait = False,
    json: Json = False,
    admin_port: AdminPort = None,
    state_dir: StateDir = STATE,
    key_file: KeyFile = None,
) -> None:
    """Show or set what share of ENDPOINT's requests each shadow is sent; who is not named is sent nothing."""
    from gateway.commands.traffic import percents, set_percents, show_percents

    if off and shadows:
        raise ConfigError("--off", "expected without shadows")
    changer = _changer(admin_port, state_dir, key_file, is_json=json, wait=0 if no_wait else wait)
    if not shadows and not off:
        raise typer.Exit(show_percents("mirror", endpoint, changer))
    raise typer.Exit(set_percents("mirror", endpoint, percents(shadows or []), changer))


def history(
    version: Annotated[
        int | None, typer.Argument(help="One version, and the way back to it.", metavar="VERSION")
    ] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Entries.")] = 20,
    json: Json = False,
    admin_port: AdminPort = None,
    state_dir: StateDir = STATE,
    key_file: KeyFile = None,
) -> None:
    """Show what was changed, when and by whom."""
    from gateway.commands.history import show_history, show_version

    changer = _changer(admin_port, state_dir, key_file, is_json=json)
    raise typer.Exit(show_history(limit, changer) if version is None else show_version(version, changer))


def rollback(
    version: Annotated[int | None, typer.Argument(help="The version to return to.", metavar="VERSION")] = None,
    *,
    last: Annotated[bool, typer.Option("--last", help="To what runs, or ran last before the newest.")] = False,
    with_new_files: Annotated[
        bool, typer.Option("--with-new-files", help="Also where a model's files have changed since: take them so.")
    ] = False,
    wait: Wait = _WAIT,
    no_wait: NoWait = False,
    json: Json = False,
    admin_port: AdminPort = None,
    state_dir: StateDir = STATE,
    key_file: KeyFile = None,
) -> None:
    """Return to what an earlier version said, as the next version."""
    from gateway.commands.history import rollback

    if (version is None) == (not last):
        raise ConfigError("VERSION", "expected a version, or --last")
    changer = _changer(admin_port, state_dir, key_file, is_json=json, wait=0 if no_wait else wait)
    raise typer.Exit(rollback(version, changer, with_new_files=with_new_files))


def _changer(
    admin_port: int | None, state_dir: Path, key_file: Path | None, *, is_json: bool, wait: int = 0
) -> Changer:
    from rich.console import Console

    from gateway.commands.admin_client import AdminClient
    from gateway.commands.outcome import Changer

    console = Console(highlight=False)
    return Changer(
        client=AdminClient(port=admin_port or admin_port_of(state_dir), key_file=key_file or state_dir / "admin.key"),
        console=console if console.is_terminal else Console(highlight=False, width=_FILE_WIDTH),
        wait=wait,
        is_json=is_json,
    )

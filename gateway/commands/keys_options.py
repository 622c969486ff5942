"""The options of ``lockgate keys`` and ``lockgate token``; what they do is in ``keys.py`` and ``token.py``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.core.access import Role
from gateway.core.errors import ConfigError

if TYPE_CHECKING:
    from gateway.commands.keys import KeyCommand

__all__ = ["keys_app", "token"]

keys_app = typer.Typer(
    name="keys",
    help="List, make, replace and revoke API keys. Running gateways notice within a second.",
    no_args_is_help=True,
)

StateDir = Annotated[Path, typer.Option(help="The server's state directory.")]
Mounted = Annotated[Path | None, typer.Option("--from", help="The mounted secret that auth.keys_from names.")]
KeyName = Annotated[str, typer.Argument(help="Name of the key.", metavar="NAME")]

DEFAULT_STATE = Path(".lockgate")


@keys_app.command("list")
def list_keys(*, state_dir: StateDir = DEFAULT_STATE, mounted: Mounted = None) -> None:
    """Show every key: its roles, endpoints, end and last use. Keys themselves are known to nobody."""
    from rich.console import Console

    console = Console(highlight=False)
    _command(state_dir, mounted).list(console if console.is_terminal else Console(highlight=False, width=200))


@keys_app.command()
def create(
    name: KeyName,
    *,
    role: Annotated[
        list[Role] | None, typer.Option(help="What it may do; may be given again \\[default: score].")
    ] = None,
    endpoint: Annotated[
        list[str] | None, typer.Option(help="Where; may be given again \\[default: everywhere].")
    ] = None,
    expires_in: Annotated[str | None, typer.Option(help="90d, 12h or 30m \\[default: never].")] = None,
    state_dir: StateDir = DEFAULT_STATE,
    mounted: Mounted = None,
) -> None:
    """Make a key and print it, once."""
    _command(state_dir, mounted).create(name, role or [Role.SCORE], endpoint or None, expires_in)


@keys_app.command()
def regenerate(
    name: Annotated[str, typer.Argument(help="An endpoint, with --key-type; or a key made by create.", metavar="NAME")],
    *,
    key_type: Annotated[
        Literal["primary", "secondary"] | None, typer.Option(help="Which of the endpoint's two keys.")
    ] = None,
    state_dir: StateDir = DEFAULT_STATE,
    mounted: Mounted = None,
) -> None:
    """Replace a key and print the new one, once. An endpoint's other key stays valid meanwhile."""
    _command(state_dir, mounted).regenerate(name, key_type)


@keys_app.command()
def revoke(name: KeyName, *, state_dir: StateDir = DEFAULT_STATE, mounted: Mounted = None) -> None:
    """End a key."""
    _command(state_dir, mounted).revoke(name)


def token(
    endpoint: Annotated[
        str | None, typer.Argument(help="Name of an endpoint with auth_mode: token.", metavar="ENDPOINT")
    ] = None,
    *,
    lifetime: Annotated[int, typer.Option(min=60, max=86_400, help="Seconds that the token is valid.")] = 3600,
    subject: Annotated[str | None, typer.Option(help="Whom logs name as the caller \\[default: you].")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Print the token alone.")] = False,
    rotate_key: Annotated[bool, typer.Option("--rotate-key", help="Sign with a new key from now on.")] = False,
    revoke_all: Annotated[
        bool, typer.Option("--revoke-all", help="With --rotate-key: no token of before is valid any more.")
    ] = False,
    state_dir: StateDir = DEFAULT_STATE,
) -> None:
    """Print a token with which ENDPOINT can be scored, as JSON; or turn the signing key over."""
    from gateway.commands.token import print_token, rotate

    if revoke_all and not rotate_key:
        raise ConfigError("--revoke-all", "expected together with --rotate-key")
    if endpoint is None and not rotate_key:
        raise ConfigError("ENDPOINT", "expected the name of an endpoint, or --rotate-key")
    if rotate_key:
        rotate(state_dir, keep_old=not revoke_all)
    if endpoint is not None:
        print_token(endpoint, state_dir, lifetime, subject, is_plain=plain)


def _command(state_dir: Path, mounted: Path | None) -> KeyCommand:
    from gateway.commands.keys import KeyCommand

    return KeyCommand(state_dir, mounted)

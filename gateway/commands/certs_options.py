"""The options of ``lockgate certs``; what it does is in ``certs.py``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gateway.commands.certs import Kind

__all__ = ["certs_app"]

certs_app = typer.Typer(
    name="certs",
    help="Make a development CA, and certificates that it signs for servers, workers and clients.",
    no_args_is_help=True,
)

Out = Annotated[Path, typer.Option(help="Folder of ca.pem, and of what is made.")]
Days = Annotated[int, typer.Option(min=1, max=3650, help="How long it is valid; never longer than its CA.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a pair of that name; running servers take the new one.")]
HostSan = Annotated[
    list[str] | None,
    typer.Option(help="DNS name or address; may be given again \\[default: localhost, 127.0.0.1, ::1]."),
]
ClientSan = Annotated[
    list[str] | None, typer.Option(help="DNS name, URI or e-mail address of the caller; may be given again.")
]

DEFAULT_DAYS = 397


@certs_app.command()
def ca(
    *,
    out: Out,
    name: Annotated[str, typer.Option(help="Its common name.")] = "Lockgate development CA",
    days: Days = DEFAULT_DAYS,
) -> None:
    """Make a CA and keep its key, so that it can sign more later. Remove ca.key when that is done."""
    from gateway.commands.certs import make_ca

    _tell(make_ca(out, name, days))


@certs_app.command()
def server(
    *,
    out: Out,
    name: Annotated[str, typer.Option(help="Common name, and of the files.")] = "server",
    san: HostSan = None,
    days: Days = DEFAULT_DAYS,
    force: Force = False,
) -> None:
    """Make a pair for the public ports: edge.tls.certificate and edge.tls.key."""
    _make("server", out, name, san, days=days, is_forced=force)


@certs_app.command()
def worker(
    *,
    out: Out,
    name: Annotated[str, typer.Option(help="Common name, and of the files.")] = "worker",
    san: HostSan = None,
    days: Days = DEFAULT_DAYS,
    force: Force = False,
) -> None:
    """Make a pair for workers on TCP: lockgate worker --tls-certificate and --tls-key."""
    _make("worker", out, name, san, days=days, is_forced=force)


@certs_app.command()
def client(
    *,
    out: Out,
    name: Annotated[str, typer.Option(help="Common name, and of the files.")] = "client",
    san: ClientSan = None,
    days: Days = DEFAULT_DAYS,
    force: Force = False,
) -> None:
    """Make a pair for a caller, or for a gateway towards its workers: pool.tls."""
    _make("client", out, name, san, days=days, is_forced=force)


def _make(kind: Kind, out: Path, name: str, san: list[str] | None, *, days: int, is_forced: bool) -> None:
    from gateway.commands.certs import PairOptions, make_pair

    _tell(make_pair(PairOptions(kind=kind, out=out, name=name, alternatives=san or (), days=days, is_forced=is_forced)))


def _tell(paths: list[Path]) -> None:
    for path in paths:
        typer.echo(path)

"""
Where a store is, from its URL.

    redis://[user[:password]@]host[:port][/db]      rediss:// with TLS
    unix:///path/to/socket[?db=0]
    redis+sentinel://[user[:password]@]host:port,host:port/master[/db]
    redis+cluster://[user[:password]@]host:port,host:port

``valkey`` stands for ``redis`` everywhere; ``rediss+sentinel`` and ``rediss+cluster`` use TLS. An address never shows
its password.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["Address", "StoreAddress", "parse_url"]

_DEFAULT_PORT = 6379


@dataclass(frozen=True, slots=True)
class Address:
    """One server: host and port, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAddress:
    """Everything that a URL says."""

    kind: Literal["standalone", "sentinel", "cluster"]
    servers: tuple[Address, ...]
    """To begin with: the server, the Sentinels, or some nodes of the cluster."""
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    db: int = 0
    master: str = ""
    """The name by which the Sentinels know it."""


def parse_url(url: str) -> StoreAddress:
    """Raises ``ValueError`` that says what was expected, and never shows the URL: it may hold a password."""
    scheme, _, rest = url.partition("://")
    base, _, kind = scheme.lower().partition("+")
    if (
        base not in ("redis", "rediss", "valkey", "valkeys", "unix")
        or kind not in ("", "sentinel", "cluster")
        or not rest
    ):
        raise ValueError("url: expected redis://, rediss:// or unix://, the first two also with +sentinel or +cluster")
    user, password, rest = _credentials(rest)
    if base == "unix":
        parts = urlsplit("unix://" + rest)
        if kind or not parts.path:
            raise ValueError("url: expected unix:///path/to/socket")
        db = _number(parse_qs(parts.query).get("db", ["0"])[0])
        return StoreAddress(
            kind="standalone", servers=(Address(path=unquote(parts.path)),), user=user, password=password, db=db
        )
    hosts, _, path = rest.partition("/")
    servers = tuple(_server(host) for host in hosts.split(","))
    steps = [step for step in path.split("/") if step]
    if kind == "sentinel" and not steps:
        raise ValueError("url: expected the master's name after the Sentinels: redis+sentinel://host:port/name")
    if kind == "" and len(servers) > 1:
        raise ValueError("url: expected one host, or +sentinel or +cluster for several")
    master = steps.pop(0) if kind == "sentinel" else ""
    if len(steps) > 1 or (kind == "cluster" and steps):
        raise ValueError("url: expected nothing behind the host but the number of a database; a cluster has one only")
    return StoreAddress(
        kind=kind or "standalone",  # type: ignore[arg-type]  # checked above
        servers=servers,
        tls=base in ("rediss", "valkeys"),
        user=user,
        password=password,
        db=_number(steps[0]) if steps else 0,
        master=master,
    )


def _credentials(rest: str) -> tuple[str | None, str | None, str]:
    given, at, behind = rest.rpartition("@")
    if not at:
        return None, None, rest
    user, _, password = given.partition(":")
    return unquote(user) or None, unquote(password) or None, behind


def _server(text: str) -> Address:
    parts = urlsplit("//" + text)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if not parts.hostname or port == -1:
        raise ValueError("url: expected host:port")
    return Address(parts.hostname, port or _DEFAULT_PORT)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("url: expected the number of a database")
    return int(text)

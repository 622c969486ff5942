"""
``lockgate certs``: a development CA, and pairs that it signs, as files in one folder.

A CA's key can make anybody of anybody, so it is written only by the command that is asked for it: a pair in an empty
folder gets a CA of its own whose key is forgotten once it has signed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias

from gateway.auth.certificates import LIFE, Authority, Use, alternative_name, write_whole
from gateway.core.errors import ConfigError

__all__ = ["CA_NAME", "Kind", "PairOptions", "make_ca", "make_pair"]

Kind: TypeAlias = Literal["server", "client", "worker"]
"""A worker is a server to gateways, and they are clients to it."""

CA_NAME = "Lockgate development CA"
LIFE_DAYS = LIFE.days

_FILE_NAME = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]{0,63}")
_CN_LENGTH = 64
"""What X.509 allows."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions:
    """The command line."""

    kind: Kind
    out: Path
    name: str
    alternatives: Sequence[str] = ()
    days: int = LIFE_DAYS
    is_forced: bool = False
    """Whether a pair that is there may be replaced."""


def make_ca(out: Path, name: str, days: int, now: datetime | None = None) -> list[Path]:
    """A CA that can sign more later; returns what was written. Raises ``ConfigError``."""
    certificate, key = out / "ca.pem", out / "ca.key"
    _refuse_existing(certificate, key)
    if not 1 <= len(name) <= _CN_LENGTH:
        raise ConfigError("--name", f"expected 1 to {_CN_LENGTH} characters")
    authority = Authority.make(name, now or datetime.now(UTC), timedelta(days=days))
    _write(out, {key: authority.key, certificate: authority.certificate})
    return [certificate, key]


def make_pair(options: PairOptions, now: datetime | None = None) -> list[Path]:
    """A pair, and a CA where there is none; returns what was written. Raises ``ConfigError``."""
    now = now or datetime.now(UTC)
    out, name = options.out, options.name
    if not _FILE_NAME.fullmatch(name) or name == "ca":
        raise ConfigError("--name", f'expected letters, digits, dots and dashes, and not "ca", got "{name}"')
    certificate, key = out / f"{name}.pem", out / f"{name}.key"
    if not options.is_forced:
        _refuse_existing(certificate, key)
    wanted = options.alternatives or (() if options.kind == "client" else _LOOPBACK)
    try:
        alternatives = [alternative_name(text) for text in wanted]
    except ValueError as error:
        raise ConfigError("--san", str(error)) from error
    ca, ca_key = out / "ca.pem", out / "ca.key"
    files: dict[Path, bytes] = {}
    if ca_key.exists():
        authority = Authority.read(ca, ca_key)
    elif ca.exists():
        raise ConfigError(
            str(ca), "expected its key beside it, which was not kept; `lockgate certs ca` makes a CA that can sign more"
        )
    else:
        authority = Authority.make(CA_NAME, now)
        files[ca] = authority.certificate
    use = Use.CLIENT if options.kind == "client" else Use.SERVER
    pair = authority.issue(name, alternatives, use, now, timedelta(days=options.days))
    # The key first: whoever watches both looks twice at what does not fit together.
    _write(out, {key: pair.key, certificate: pair.certificate, **files})
    return [certificate, key, *files]


def _refuse_existing(*paths: Path) -> None:
    for path in paths:
        if path.exists():
            raise ConfigError(str(path), "expected no such file; it is not replaced")


def _write(out: Path, files: dict[Path, bytes]) -> None:
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, data in files.items():
            write_whole(path, data, 0o600 if path.suffix == ".key" else 0o644)
    except OSError as error:
        raise ConfigError(str(out), f"expected a folder that can be written: {error.strerror}") from error

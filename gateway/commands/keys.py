"""
``lockgate keys``: the keys of a state directory, from the command line of its owner.

Whoever can write the key file may do anything to it, so nobody is asked for a credential; running gateways follow the
file. A new key goes to standard output alone, once; everything else that is said goes to standard error.
"""

from __future__ import annotations

import getpass
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.auth.api_key import LATEST, ApiKey, Slot
from gateway.auth.bootstrap import StateFiles
from gateway.auth.key_book import KeyBook, NewKey
from gateway.auth.key_uses import KeyUses
from gateway.auth.sealed_file import write_sealed
from gateway.control.endpoints import NAME
from gateway.core.access import Role
from gateway.core.errors import ConfigError, InvalidInput, NotFound

__all__ = ["KeyCommand", "lifetime_of", "operator"]

T = TypeVar("T")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


@dataclass(frozen=True, slots=True)
class KeyCommand:
    """The keys of one state directory; ``mounted`` is what the setting ``auth.keys_from`` names, to list it too."""

    state_dir: Path
    mounted: Path | None = None
    clock: Callable[[], float] = time.time

    def list(self, console: Console) -> None:
        """All keys, as a table: what they may do and when they were used last."""
        table = Table(box=None, pad_edge=False)
        for title in ("NAME", "ROLES", "ENDPOINTS", "CREATED", "EXPIRES", "LAST USED", "FROM"):
            table.add_column(title, no_wrap=True)
        for each in _told(self._book.listed):
            key = each.key
            expired = " (over)" if key.expires is not None and key.expires <= self.clock() else ""
            cells = [
                key.name,
                " ".join(sorted(key.roles)),
                "all" if key.endpoints is None else " ".join(key.endpoints),
                _date(key.created),
                _date(key.expires or 0, "never") + expired,
                _date(each.last_used, "never"),
                "secret" if each.is_mounted else "file",
            ]
            table.add_row(*(Text(cell) for cell in cells))
        console.print(table)

    def create(self, name: str, roles: Sequence[Role], endpoints: Sequence[str] | None, expires_in: str | None) -> None:
        """Make a key with a name of its own, and show it."""
        lifetime = None if expires_in is None else lifetime_of(expires_in)
        made = _told(lambda: self._book.create(name, roles, endpoints, lifetime, _anything))
        self._show(made, "created")

    def regenerate(self, name: str, slot: Slot | None) -> None:
        """An endpoint's primary or secondary key anew, or a named key, and show it."""
        if slot is None:
            made = _told(lambda: self._book.renew(name, _anything))
        elif not NAME.fullmatch(name):
            raise ConfigError("--key-type", "expected the name of an endpoint before it")
        else:
            made = _told(lambda: self._book.regenerate(name, slot, _anything))
        self._show(made, "regenerated")

    def revoke(self, name: str) -> None:
        """The key is not valid any more."""
        gone = _told(lambda: self._book.revoke(name, _anything))
        _say("revoked", gone.name, "refused within a second by every gateway that reads this directory")

    @property
    def _book(self) -> KeyBook:
        files = StateFiles(self.state_dir.resolve())
        return KeyBook(files.keys, KeyUses(files.key_uses), self.mounted, clock=self.clock)

    def _show(self, made: NewKey, verb: str) -> None:
        _say(verb, made.key.name, "shown this once")
        # The first start put two keys into files of their own: those who read them shall not find an old one.
        beside = self.state_dir.resolve() / f"{made.key.name}.key"
        if beside.exists():
            write_sealed(beside, f"{made.secret}\n".encode())
            sys.stderr.write(f"lockgate: {beside.name} holds the new one\n")
        sys.stdout.write(f"{made.secret}\n")


def lifetime_of(text: str) -> int:
    """Seconds of ``90d``, ``12h``, ``30m`` or ``45s``. Raises ``ConfigError``."""
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if not found or not int(found[1]):
        raise ConfigError("--expires-in", f'expected a time such as 90d, 12h or 30m, got "{text[:20]}"')
    return int(found[1]) * _UNITS[found[2]]


def operator() -> str:
    """Who sits at the command line, for the audit trail."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user: a container's number
        return f"uid {os.getuid()}"


def _told(work: Callable[[], T]) -> T:
    """What is wrong with a request is one line here, as for any other option."""
    try:
        return work()
    except (InvalidInput, NotFound) as error:
        raise ConfigError("keys", str(error)) from error


def _anything(_: ApiKey) -> None:
    """The owner of the file may do anything to it."""


def _say(verb: str, name: str, what: str) -> None:
    sys.stderr.write(f'lockgate: key "{name}" {verb} by {operator()}, {what}\n')


def _date(when: int, otherwise: str = "-") -> str:
    # A file of ours may hold a later time than anybody can make a key for now.
    return datetime.fromtimestamp(min(when, LATEST), UTC).strftime("%Y-%m-%d %H:%M") if when else otherwise

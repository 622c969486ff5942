"""
What can be done to keys: list, make, replace and revoke, for the command line and the admin API alike.

Each change reads, changes and replaces the key file under its lock; running gateways notice by themselves. Nobody's
rights are asked here but by ``check``, which sees the key as it is at that moment. Blocks for a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from gateway.auth.api_key import LATEST, PREFIX, ApiKey, Slot, digest, new_key, slot_name, slot_of
from gateway.auth.key_file import change_keys, read_keys, read_mounted
from gateway.auth.key_uses import KeyUses
from gateway.core.access import Role
from gateway.core.errors import InvalidInput, NotFound

__all__ = ["KeyBook", "ListedKey", "NewKey"]

Check = Callable[[ApiKey], None]
"""Raises when the key is not to be changed by whoever asks."""


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key, and what is known besides."""

    key: ApiKey
    last_used: int
    """Unix seconds; 0 for never."""
    is_mounted: bool
    """It comes from a mounted secret and is changed there."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: the only time that ``secret`` is known."""

    key: ApiKey
    secret: str = field(repr=False)


class KeyBook:
    """The keys of one state directory. ``clock`` gives Unix seconds."""

    def __init__(
        self,
        path: Path,
        uses: KeyUses,
        mounted: Path | None = None,
        *,
        clock: Callable[[], float],
        make: Callable[[], str] = new_key,
    ) -> None:
        self._path, self._uses, self._mounted, self._clock, self._make = path, uses, mounted, clock, make

    def listed(self) -> list[ListedKey]:
        """All, as the files say now."""
        used = self._uses.read()
        own = [ListedKey(key, _since(used.get(key.name, 0), key), is_mounted=False) for key in read_keys(self._path)]
        return own + [ListedKey(key, used.get(key.name, 0), is_mounted=True) for key in self._mounted_keys()]

    def create(
        self, name: str, roles: Sequence[Role], endpoints: Sequence[str] | None, lifetime: int | None, check: Check
    ) -> NewKey:
        """A key with a name of its own. ``lifetime`` is in seconds; None is for ever."""
        if slot_of(name):
            raise InvalidInput("name: the keys of an endpoint are made by regenerating them")
        if endpoints is not None and not endpoints:
            raise InvalidInput("endpoints: expected at least one, or null for all")
        if lifetime is not None and lifetime < 1:
            raise InvalidInput("expires: expected a time in the future")
        now = int(self._clock())
        if lifetime is not None and lifetime > LATEST - now:
            raise InvalidInput("expires: expected a time before the year 10000")
        secret = self._make()
        try:
            made = ApiKey(
                name=name,
                sha256=digest(secret),
                roles=tuple(dict.fromkeys(roles)),
                endpoints=None if endpoints is None else sorted(set(endpoints)),
                created=now,
                expires=None if lifetime is None else now + lifetime,
            )
        except ValueError as error:
            raise InvalidInput(str(error)) from None
        check(made)
        self._refuse_mounted(name)
        with change_keys(self._path) as keys:
            if any(key.name == name for key in keys):
                raise InvalidInput(f'name: there is a key "{name}" already')
            keys.append(made)
        return NewKey(made, secret)

    def regenerate(self, endpoint: str, slot: Slot, check: Check) -> NewKey:
        """An endpoint's primary or secondary key anew, or for the first time; the other one stays as it is."""
        name = slot_name(endpoint, slot)
        self._refuse_mounted(name)
        secret = self._make()
        with change_keys(self._path) as keys:
            known = next((key for key in keys if key.name == name), None)
            made = ApiKey(
                name=name,
                sha256=digest(secret),
                endpoints=[endpoint],
                roles=known.roles if known else (Role.SCORE,),
                created=int(self._clock()),
            )
            check(made)
            keys[:] = [*(key for key in keys if key.name != name), made]
        return NewKey(made, secret)

    def renew(self, name: str, check: Check) -> NewKey:
        """A new secret for a named key, with the rights of the old one; the old one is no longer valid."""
        secret = self._make()
        with change_keys(self._path) as keys:
            known = self._find(keys, name)
            check(known)
            now = int(self._clock())
            lifetime = None if known.expires is None else known.expires - known.created
            expires = None if lifetime is None else now + lifetime
            made = msgspec.structs.replace(known, sha256=digest(secret), created=now, expires=expires)
            keys[keys.index(known)] = made
        return NewKey(made, secret)

    def revoke(self, name: str, check: Check) -> ApiKey:
        """The key is not valid any more, within a second in every gateway."""
        with change_keys(self._path) as keys:
            known = self._find(keys, name)
            check(known)
            keys.remove(known)
        return known

    def _find(self, keys: Sequence[ApiKey], name: str) -> ApiKey:
        found = next((key for key in keys if key.name == name), None)
        if found is None:
            self._refuse_mounted(name)
            if name.startswith(PREFIX):
                raise InvalidInput("name: expected the name of a key, not the key")
            raise NotFound(f'there is no key "{name[:80]}"')
        return found

    def _refuse_mounted(self, name: str) -> None:
        if any(key.name == name for key in self._mounted_keys()):
            raise InvalidInput(f'"{name}" comes from the mounted secret: change it there')

    def _mounted_keys(self) -> list[ApiKey]:
        return [] if self._mounted is None else read_mounted(self._mounted)


def _since(last_used: int, key: ApiKey) -> int:
    """A key made anew has not been used by those who used the old one."""
    return last_used if last_used >= key.created else 0

"""
Keys and tokens over the admin API: every request is judged, done, and put on the audit trail.

Implements ``gateway.control.admin_keys.KeyDesk``. A caller manages the keys of the endpoints on which they hold the
role ``keys``, and gives nobody more than they have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import structlog

from gateway.auth.api_key import SLOTS, ApiKey, Slot, slot_name
from gateway.auth.audit import Audit
from gateway.auth.bearer import forbidden
from gateway.auth.key_book import KeyBook, ListedKey, NewKey
from gateway.auth.policy import may_manage
from gateway.auth.token import issue_token
from gateway.auth.token_keys import signing_key
from gateway.control.endpoints import AuthMode
from gateway.core.access import Access, Caller, Principal, Role
from gateway.core.errors import ConfigError, Forbidden, InvalidInput, NotFound, NotReady

__all__ = ["Desk"]

log = structlog.get_logger()

T = TypeVar("T")


class Desk:
    """``modes`` gives what the endpoints take now; ``clock`` Unix seconds; ``lifetime`` is that of a token."""

    def __init__(
        self,
        access: Access,
        book: KeyBook,
        audit: Audit,
        modes: Callable[[], Mapping[str, AuthMode]],
        *,
        token_keys: Path,
        lifetime: int,
        clock: Callable[[], float],
    ) -> None:
        self._access, self._book, self._audit, self._modes = access, book, audit, modes
        self._token_keys, self._lifetime, self._clock = token_keys, lifetime, clock

    async def known(self, caller: Caller) -> None:
        """Whether the caller may manage any keys at all."""
        await self._access(caller, None, Role.KEYS)

    async def keys(self, caller: Caller) -> list[dict[str, Any]]:
        """Every key that the caller may manage."""
        principal = await self._access(caller, None, Role.KEYS)
        return [
            _shown(each)
            for each in await _done(self._book.listed)
            if may_manage(principal, each.key.roles, each.key.endpoints)
        ]

    async def create(
        self, caller: Caller, name: str, roles: Sequence[Role], endpoints: Sequence[str] | None, lifetime: int | None
    ) -> dict[str, Any]:
        """A key with a name of its own; what is answered is the only time that it is seen."""
        principal = await self._access(caller, None, Role.KEYS)
        unknown = sorted(set(endpoints or ()) - set(self._modes()))
        if unknown:
            raise NotFound(f'no endpoint "{unknown[0][:64]}" here')
        made = await _done(
            lambda: self._book.create(name, roles, endpoints, lifetime, self._check(principal, caller)),
        )
        self._audit.did("audit.key_created", principal, caller.peer, **_facts(made.key))
        return {**_shown(ListedKey(made.key, 0, is_mounted=False)), "key": made.secret}

    async def revoke(self, caller: Caller, name: str) -> None:
        """The key is not valid any more."""
        principal = await self._access(caller, None, Role.KEYS)
        gone = await _done(lambda: self._book.revoke(name, self._check(principal, caller)))
        self._audit.did("audit.key_revoked", principal, caller.peer, **_facts(gone))

    async def endpoint_keys(self, caller: Caller, endpoint: str) -> dict[str, Any]:
        """
        Azure ML's ``listKeys``: the names are its, but a key is shown once, when it is made, so the values are null.

        What can be told of the two stands under ``keys``.
        """
        await self._of_mode(caller, endpoint, "key")
        names = {slot_name(endpoint, slot) for slot in SLOTS}
        listed = [each for each in await _done(self._book.listed) if each.key.name in names]
        return {"primaryKey": None, "secondaryKey": None, "keys": [_shown(each) for each in listed]}

    async def regenerate(self, caller: Caller, endpoint: str, slot: Slot) -> dict[str, Any]:
        """Azure ML's ``regenerateKeys``: answers the new key under its name; the other one stays as it is."""
        principal = await self._of_mode(caller, endpoint, "key")
        made: NewKey = await _done(
            lambda: self._book.regenerate(endpoint, slot, self._check(principal, caller)),
        )
        self._audit.did("audit.key_regenerated", principal, caller.peer, **_facts(made.key))
        return {"primaryKey": None, "secondaryKey": None, f"{slot}Key": made.secret}

    async def token(self, caller: Caller, endpoint: str) -> dict[str, Any]:
        """A token with which the endpoint can be scored."""
        principal = await self._of_mode(caller, endpoint, "token")
        now = self._clock()
        key = await _done(lambda: signing_key(self._token_keys, now))
        issued = issue_token(key, endpoint, principal.name, now=now, lifetime=self._lifetime)
        self._audit.did(
            "audit.token_issued",
            principal,
            caller.peer,
            endpoint=endpoint,
            kid=key.kid,
            expires=issued.expiryTimeUtc,
        )
        return asdict(issued)

    async def _of_mode(self, caller: Caller, endpoint: str, mode: AuthMode) -> Principal:
        """Who asks about an endpoint's keys or tokens, if it takes any."""
        principal = await self._access(caller, endpoint, Role.KEYS)
        taken = self._modes().get(endpoint)
        if taken is None:
            raise NotFound(f'no endpoint "{endpoint[:64]}" here')
        if taken != mode:
            raise InvalidInput(f'endpoint "{endpoint}" has auth_mode {taken}, not {mode}')
        return principal

    def _check(self, principal: Principal, caller: Caller) -> Callable[[ApiKey], None]:
        def check(key: ApiKey) -> None:
            if may_manage(principal, key.roles, key.endpoints):
                return
            refusal: Forbidden = forbidden(principal.kind, Role.ADMIN, None, principal.name)
            self._audit.refused(caller, None, Role.ADMIN, refusal)
            raise refusal

        return check


async def _done(work: Callable[[], T]) -> T:
    """In a thread: it waits for files and a lock. What is wrong with the files is for the log, not for the caller."""
    try:
        return await asyncio.to_thread(work)
    except (ConfigError, OSError) as error:
        log.error("auth.keys_not_changed", reason=str(error))
        raise NotReady("the key files cannot be read or written at the moment; the log says why") from error


def _shown(listed: ListedKey) -> dict[str, Any]:
    key = listed.key
    return {
        "name": key.name,
        "roles": sorted(key.roles),
        "endpoints": key.endpoints,
        "created": key.created or None,
        "expires": key.expires,
        "lastUsed": listed.last_used or None,
        "mounted": listed.is_mounted,
    }


def _facts(key: ApiKey) -> dict[str, Any]:
    return {"name": key.name, "roles": sorted(key.roles), "endpoints": key.endpoints, "expires": key.expires}

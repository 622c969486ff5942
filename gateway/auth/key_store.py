"""
The keys as the files say now: followed while the process runs, and who used which when.

``Credentials`` has the files looked at twice a second, so a revocation holds within a second in every process that
reads them; a key that is not known makes us look at once, so a fresh one works everywhere the moment it is made. A file
that became unreadable is refused and what was known is kept: a slip of an editor must not lock everybody out, and
whoever wants that takes the keys out of the file. It is read again at every look (see ``Followed``).

What was shown and found is remembered until the files are looked at the next time, so that a key is hashed twice a
second rather than with every request. That changes nothing but the cost, as ``Passes`` says: only what was found in
this very ring is remembered, so there is at most one credential for each of its keys.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import structlog

from gateway.auth.bearer import bearer, forbidden, invalid
from gateway.auth.followed import Followed
from gateway.auth.key_file import mount_stamp, read_keys, read_mounted
from gateway.auth.key_ring import Holder, KeyRing
from gateway.auth.key_uses import KeyUses
from gateway.auth.passes import Passes
from gateway.auth.sealed_file import stamp
from gateway.core.access import Caller, Principal, Role
from gateway.core.errors import ConfigError

__all__ = ["KeyStore"]

log = structlog.get_logger()


class KeyStore:
    """
    Implements ``gateway.core.access.Access`` for keys; ``refresh`` keeps it fresh.

    ``mounted`` is a secret with further keys. ``clock`` gives Unix seconds. Raises ``ConfigError`` when the files
    cannot be read at the start.
    """

    def __init__(self, path: Path, mounted: Path | None, uses: KeyUses, *, clock: Callable[[], float]) -> None:
        self._path, self._mounted, self._uses, self._clock = path, mounted, uses, clock
        self.passes = Passes(clock)
        """Forgotten with the ring, and at every look."""
        self._followed = Followed(self._look)
        self._install(self._read())

    async def __call__(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        """See ``Access``."""
        return self.judge(caller, endpoint, role)

    def judge(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        """The same at once."""
        holder = self.passes.holder_of(caller.credential)
        if holder is None:
            holder = self._holder_of(caller.credential)
        now = self._clock()
        if holder.expires <= now:
            raise invalid("the key has expired", holder.key.name)
        holder.last_used = now
        principal = holder.principal
        if not principal.may(role, endpoint):
            raise forbidden("key", role, endpoint, principal.name)
        return principal

    def refresh(self) -> bool:
        """Take over what has changed; whether anything had."""
        self.passes.forget()
        if not self._followed.is_due():
            return False
        try:
            ring = self._read()
        except ConfigError as refusal:
            if self._followed.refused(str(refusal)):
                log.error("auth.keys_refused", reason=str(refusal), kept=len(self._ring))
            return False
        self._followed.taken()
        before = {holder.digest: holder for holder in self._ring}
        for holder in ring:
            if (known := before.get(holder.digest)) is not None:
                holder.last_used = known.last_used
        added = {holder.key.name for holder in ring if holder.digest not in before}
        after = {holder.digest for holder in ring}
        removed = {holder.key.name for holder in self._ring if holder.digest not in after}
        self._install(ring)
        log.info("auth.keys_changed", added=sorted(added), removed=sorted(removed))
        return True

    def flush(self) -> None:
        """Write the times of last use. Blocks for a moment."""
        self._uses.note({holder.key.name: int(holder.last_used) for holder in self._ring if holder.last_used})

    def _install(self, ring: KeyRing) -> None:
        self._ring, self._find = ring, ring.find
        self.passes.forget()

    def _holder_of(self, credential: str | None) -> Holder:
        if credential is not None and credential[:7] == "Bearer ":  # how everybody writes it
            holder = self._find(_digest(credential[7:]))
            if holder is not None:
                self.passes.showed(credential, holder)
                return holder
        return self._look_again(_digest(bearer(credential, "key")))

    def _look_again(self, presented: bytes) -> Holder:
        # Only our own file: looking through a mounted folder is no work for strangers to order.
        if stamp(self._path) != self._followed.seen[0]:
            self.refresh()
        holder = self._find(presented)
        if holder is None:
            raise invalid("the key is not valid here")
        return holder

    def _look(self) -> tuple[object, ...]:
        try:
            return stamp(self._path), mount_stamp(self._mounted) if self._mounted is not None else ()
        except OSError:  # a folder in the middle of being replaced
            return stamp(self._path), None

    def _read(self) -> KeyRing:
        keys = read_keys(self._path)
        if self._mounted is not None:
            keys += read_mounted(self._mounted)
        return KeyRing(keys, str(self._path))


def _digest(key: str) -> bytes:
    try:
        return sha256(key.encode()).digest()
    except UnicodeEncodeError:  # bytes that were no text
        raise invalid("the key is not valid here") from None

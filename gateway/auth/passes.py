"""
Who was let in a moment ago, and where: most requests are asked this and nothing else.

A pass is the answer to one question, whether who shows this may score at this endpoint, that was found the whole way:
by what the endpoint takes, by the files of keys, and by what the key may do. These change in two places, ``KeyStore``
and ``EndpointAccess``; each forgets all passes when anything changes there, and the store also with every look at the
files, twice a second. What changes by itself, whether the key has expired, is asked every time. Only yes is
remembered: who has no pass goes the whole way, and is refused there.

Passes are of keys alone, as they are found under what was shown, so there are at most as many as keys times endpoints.
To look one up tells nobody how much of a guess was right: a dictionary compares texts only where all 64 bits of their
hashes, with a seed of the process, are the same. A key stays in our memory no longer than a request that waits for its
answer.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.auth.key_ring import Holder
from gateway.core.access import Principal

__all__ = ["Passes"]


class Passes:
    """``clock`` gives Unix seconds, for whoever asks whether the holder's key has expired."""

    __slots__ = ("_granted", "_shown", "clock", "find", "holder_of")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._shown: dict[str | None, Holder] = {}
        self._granted: dict[tuple[str | None, str | None], Holder] = {}
        self.holder_of = self._shown.get
        """Whose key it is that was shown, if that has been ``showed`` since everything was forgotten."""
        self.find = self._granted.get
        """The same by what was shown and the endpoint that was named, for who may score there."""

    def showed(self, credential: str, holder: Holder) -> None:
        """It is this holder's key."""
        self._shown[credential] = holder

    def grant(self, credential: str | None, endpoint: str | None, principal: Principal) -> None:
        """Who showed this was let in to score as this principal; nothing is kept of whoever has no key."""
        holder = self._shown.get(credential)
        if holder is not None and holder.principal is principal:
            self._granted[credential, endpoint] = holder

    def forget(self) -> None:
        """Everybody goes the whole way once more."""
        self._shown.clear()
        self._granted.clear()

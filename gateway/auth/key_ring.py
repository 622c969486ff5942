"""Who holds which key: an immutable ring, replaced whole, so that no request sees half a change."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf

from gateway.auth.api_key import ApiKey
from gateway.core.access import Principal
from gateway.core.errors import ConfigError

__all__ = ["Holder", "KeyRing"]


@dataclass(slots=True)
class Holder:
    """The holder of one key. All but ``last_used`` stays as it is."""

    key: ApiKey
    digest: bytes
    principal: Principal
    expires: float
    last_used: float = 0.0
    """Unix seconds; 0 for never, as far as this process knows."""


class KeyRing:
    """Finds a holder by the digest of what was presented. Raises ``ConfigError`` for a name or key given twice."""

    __slots__ = ("_holders",)

    def __init__(self, keys: Iterable[ApiKey], where: str = "keys") -> None:
        self._holders: dict[bytes, Holder] = {}
        names = set()
        for key in keys:
            known = bytes.fromhex(key.sha256)
            if key.name in names or known in self._holders:
                raise ConfigError(where, f'expected every name and every key once, got "{key.name}" again')
            names.add(key.name)
            expires = inf if key.expires is None else float(key.expires)
            self._holders[known] = Holder(key, known, key.principal, expires)

    def find(self, presented: bytes) -> Holder | None:
        """Looked up by digest: how long that takes says nothing about any key."""
        holder = self._holders.get(presented)
        return holder if holder is not None and hmac.compare_digest(holder.digest, presented) else None

    def __iter__(self) -> Iterator[Holder]:
        return iter(self._holders.values())

    def __len__(self) -> int:
        return len(self._holders)

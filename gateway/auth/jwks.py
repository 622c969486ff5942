"""
A provider's signing keys, kept at hand: fetched in the background, never in the way of a request whose key is known.

One task, ``Jwks.run``, does all fetching. It renews the keys before they are a day old, and early when a token names a
key that is not among them, which is how a rotation shows. Since anybody can name any key, there is a least time between
two such fetches, however many ask; who asks within it is told "unknown" at once. While the provider is away the last
good set stays in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gateway.auth.jwt import SigningKey
from gateway.core.deadline import Clock
from gateway.core.errors import NotReady

__all__ = ["Fetch", "FetchFailed", "Jwks", "read_jwks"]

log = structlog.get_logger()

_MAX_KEYS = 100
_MIN_RSA_BITS = 2048
_RETRY_S = (1.0, 60.0)
"""After a failed fetch, doubling from the first to the second."""
_MAX_WAITING = 256
"""Requests that may wait for one fetch; they hold a place in the gateway meanwhile."""

_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}

Fetch: TypeAlias = Callable[[], Awaitable[Mapping[str, SigningKey]]]
"""Gets the keys from the provider, with a deadline of its own. Raises ``FetchFailed``."""


class FetchFailed(Exception):
    """The provider did not give its keys; the text says why and is safe to log."""


def read_jwks(document: Any) -> dict[str, SigningKey]:
    """
    The keys that can verify signatures, by ``kid``; others are left out. Raises ``FetchFailed`` when none is left.

    Symmetric keys, weak ones, those for encryption and those without a name are of no use here.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise FetchFailed("expected a JSON Web Key Set")
    found: dict[str, SigningKey] = {}
    for each in listed[:_MAX_KEYS]:
        key = _signing_key(each) if isinstance(each, dict) else None
        if key is not None:
            found.setdefault(key.kid, key)
    if not found:
        raise FetchFailed("expected at least one signing key with a kid")
    return found


class Jwks:
    """The keys of one provider. ``find`` asks for one; ``run`` must be running meanwhile."""

    def __init__(
        self,
        fetch: Fetch,
        *,
        clock: Clock,
        refresh: float,
        unknown_interval: float,
        patience: float,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._fetch, self._clock, self._on_change = fetch, clock, on_change
        self._refresh, self._unknown_interval, self._patience = refresh, unknown_interval, patience
        self._keys: Mapping[str, SigningKey] = {}
        self._due = clock()
        """When to fetch next without being asked."""
        self._may_ask_at = clock()
        self._retry = _RETRY_S[0]
        self._wake = asyncio.Event()
        self._fetched: asyncio.Future[None] | None = None
        """There while a fetch is wanted or under way; done when it is over, however it ended."""
        self._waiting = 0
        self._is_away = False

    @property
    def is_known(self) -> bool:
        """Whether the keys were ever fetched."""
        return bool(self._keys)

    async def find(self, kid: str) -> SigningKey | None:
        """
        The key, after a fetch if that may bring it; None if the provider has no such key.

        Raises ``NotReady`` while nothing is known of the provider.
        """
        key = self._keys.get(kid)
        if key is None and (self._fetched is not None or self._clock() >= self._may_ask_at):
            await self._news()
            key = self._keys.get(kid)
        if key is None and not self._keys:
            raise NotReady("the identity provider's keys cannot be had at the moment")
        return key

    async def run(self) -> None:
        """Fetches until cancelled."""
        while True:
            self._wake.clear()
            delay = self._due - self._clock()
            if self._fetched is None and delay > 0:
                try:
                    async with asyncio.timeout(delay):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                continue
            await self._fetch_once()

    async def _news(self) -> None:
        if self._waiting >= _MAX_WAITING:
            raise NotReady("too many requests wait for the identity provider's keys")
        if self._fetched is None:
            self._fetched = asyncio.get_running_loop().create_future()
            self._wake.set()
        self._waiting += 1
        try:
            await asyncio.wait([self._fetched], timeout=self._patience)
        finally:
            self._waiting -= 1

    async def _fetch_once(self) -> None:
        self._may_ask_at = self._clock() + self._unknown_interval
        if self._fetched is None:
            self._fetched = asyncio.get_running_loop().create_future()
        try:
            keys = await self._fetch()
        except FetchFailed as failed:
            self._failed(str(failed))
        else:
            self._installed(keys)
        finally:
            fetched, self._fetched = self._fetched, None
            fetched.set_result(None)

    def _installed(self, keys: Mapping[str, SigningKey]) -> None:
        if self._is_away or keys.keys() != self._keys.keys():
            log.info("auth.provider_keys", keys=len(keys))
        is_rotated = bool(self._keys.keys() - keys.keys())
        self._keys, self._is_away, self._retry = keys, False, _RETRY_S[0]
        self._due = self._clock() + self._refresh
        if is_rotated:
            self._on_change()

    def _failed(self, reason: str) -> None:
        if not self._is_away:
            log.warning("auth.provider_away", reason=reason, has_keys=bool(self._keys))
        self._is_away = True
        self._due = self._clock() + self._retry
        self._retry = min(self._retry * 2, _RETRY_S[1])
        if not self._keys:
            # Nothing works without the first set: its next try is soon, and whoever comes then may wait for it.
            self._may_ask_at = self._due


def _signing_key(document: dict[str, Any]) -> SigningKey | None:
    kid, issuer = document.get("kid"), document.get("issuer", "")
    if not isinstance(kid, str) or not kid or not isinstance(issuer, str) or document.get("use", "sig") != "sig":
        return None
    if document.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    try:
        key = jwt.PyJWK(document).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    algorithms: frozenset[str]
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS:
        algorithms = _RSA
    elif isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        algorithms = frozenset({_CURVES[key.curve.name]})
    elif isinstance(key, ed25519.Ed25519PublicKey):
        algorithms = frozenset({"EdDSA"})
    else:
        return None  # a private key among them, or a curve that nobody asked for
    stated = document.get("alg")
    if isinstance(stated, str):
        algorithms &= {stated}
    return SigningKey(kid, key, algorithms, issuer) if algorithms else None

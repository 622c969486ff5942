"""
Everything by which one process knows its callers: opened together, followed while it runs, and closed.

The supervisor's admin API and every gateway have one; they share nothing but the files in the state directory. One task
looks at all files, so that what was revoked is refused within a second everywhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from gateway.auth.access import AdminAccess, EndpointAccess
from gateway.auth.audit import Audit
from gateway.auth.bootstrap import StateFiles
from gateway.auth.client_certificate import CertificateAccess
from gateway.auth.config import AuthConfig
from gateway.auth.control_judge import ControlJudge
from gateway.auth.desk import Desk
from gateway.auth.key_book import KeyBook
from gateway.auth.key_store import KeyStore
from gateway.auth.key_uses import KeyUses
from gateway.auth.oidc import OidcAccess
from gateway.auth.token import TokenAccess
from gateway.control.endpoints import AuthMode
from gateway.core.access import Access

__all__ = ["Credentials"]

_EVERY = 0.5
"""Seconds between two looks at the files: what wakes a process costs more than the look."""
_FLUSH = 60.0
"""Seconds between two times that the times of last use are written."""
_LAST_FLUSH = 2.0
"""Seconds for the last time: a disk that does not answer keeps no process from ending."""


class Credentials:
    """
    ``access`` judges callers of endpoints, ``admin`` those of the admin API, and ``judge`` those of them who ask
    for the desired state; ``passes`` are those of callers of endpoints, and ``desk`` does what is asked of keys and
    tokens.

    ``modes`` is the ``auth_mode`` of each endpoint. Raises ``ConfigError`` for files that cannot be read.
    """

    def __init__(
        self,
        files: StateFiles,
        config: AuthConfig,
        modes: Mapping[str, AuthMode],
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        uses = KeyUses(files.key_uses)
        self._keys = KeyStore(files.keys, config.keys_from, uses, clock=wall_clock)
        self._tokens = TokenAccess(files.token_keys, clock=wall_clock, leeway=config.token_leeway_s)
        self._oidc = OidcAccess(config.oidc) if config.oidc is not None else None
        verifiers: dict[AuthMode, Access] = {"key": self._keys, "token": self._tokens}
        if self._oidc is not None:
            verifiers["aad_token"] = self._oidc
        certificates = CertificateAccess(config.certificates) if config.certificates else None
        self._audit = Audit(clock=time.monotonic)
        self.passes = self._keys.passes
        self.access = EndpointAccess(modes, verifiers, self._audit, certificates=certificates, passes=self.passes)
        self.admin = AdminAccess(verifiers, self._audit, self._modes)
        self.judge = ControlJudge(self.admin, self._audit)
        self.desk = Desk(
            self.admin,
            KeyBook(files.keys, uses, config.keys_from, clock=wall_clock),
            self._audit,
            self._modes,
            token_keys=files.token_keys,
            lifetime=config.token_lifetime_s,
            clock=wall_clock,
        )

    def check(self, modes: Mapping[str, AuthMode]) -> None:
        """Whether ``install`` would take them. Raises ``ConfigError`` for an endpoint whose mode nothing verifies."""
        self.access.check(modes)

    def install(self, modes: Mapping[str, AuthMode]) -> None:
        """
        Judge by these endpoints from now on. Who names one that is gone is answered as for a name that never was; keys
        that were made for it stay in the book, and are good again should it come back.
        """
        self.access.install(modes)

    def _modes(self) -> Mapping[str, AuthMode]:
        return self.access.modes

    async def run(
        self, pause: Callable[[float], Awaitable[None]] = asyncio.sleep, last_flush: float = _LAST_FLUSH
    ) -> None:
        """Follow everything until cancelled; the end takes ``last_flush`` seconds at most."""
        async with asyncio.TaskGroup() as tasks:
            if self._oidc is not None:
                tasks.create_task(self._oidc.run(), name="oidc")
            tasks.create_task(self._follow(pause), name="credentials")
            tasks.create_task(self._flush(pause, last_flush), name="last uses")

    async def _follow(self, pause: Callable[[float], Awaitable[None]]) -> None:
        try:
            while True:
                await pause(_EVERY)
                self._keys.refresh()
                self._tokens.refresh()
                self._audit.sweep()
        finally:
            self._audit.close()

    async def _flush(self, pause: Callable[[float], Awaitable[None]], last: float) -> None:
        """Apart from the looks: the file may be locked by others, or its disk be slow, and revocations do not wait."""
        try:
            while True:
                await pause(_FLUSH)
                await asyncio.to_thread(self._keys.flush)
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(last):
                    await asyncio.to_thread(self._keys.flush)

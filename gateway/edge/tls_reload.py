"""
The listeners' certificate, kept as new as its files, without a restart and without losing a connection.

The files are looked at once a second. What is new and good is used for all handshakes that begin from then on;
connections that are there keep what they began with. A bad new pair is refused as a whole and the old one kept. Files
are followed through symbolic links, so that the swap of a mounted Kubernetes secret is a change like any other.

A pair is rarely written in one go, so what does not fit together is looked at twice before anybody is told.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from gateway.core.errors import ConfigError
from gateway.edge.tls import HTTP1, HTTP2, ClientAuth, RenewedContext, server_context

__all__ = ["Certificates", "Material", "TlsFiles"]

log = structlog.get_logger()

_LOOK_S = 1.0
_WARN_DAYS = 14
"""Shorter than that, and whoever renews it by hand should know."""

_Stamp: TypeAlias = tuple[tuple[int, ...] | None, ...]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the server's pair is, and the authorities of its clients."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Material:
    """What the files held when they fitted together."""

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    fingerprint: str
    """SHA-256 of the leaf, as browsers and ``openssl x509 -fingerprint`` show it."""
    begins: datetime
    ends: datetime

    @classmethod
    def read(cls, files: TlsFiles) -> Material:
        """Raises ``ConfigError`` for what is no certificate; whether the key belongs to it is not looked at."""
        try:
            certificate, key = files.certificate.read_bytes(), files.key.read_bytes()
            client_ca = None if files.client_ca is None else files.client_ca.read_bytes()
            leaf = x509.load_pem_x509_certificates(certificate)[0]
            begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        except OSError as error:
            raise ConfigError(str(error.filename), f"cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(str(files.certificate), "expected certificates in PEM format, leaf first") from error
        fingerprint = leaf.fingerprint(hashes.SHA256()).hex(":").upper()
        return cls(certificate, key, client_ca, fingerprint, begins, ends)

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(b"\0".join((self.certificate, self.key, self.client_ca or b""))).digest()


def _now() -> datetime:
    return datetime.now(UTC)


class Certificates:
    """
    One pair for all listeners of a process. ``run`` keeps it new; ``look`` is one look, for whoever has a clock.

    Raises ``ConfigError`` for files that cannot be served with.
    """

    def __init__(
        self, files: TlsFiles, client_auth: ClientAuth = "none", *, now: Callable[[], datetime] = _now
    ) -> None:
        self._files, self._client_auth, self._now = files, client_auth, now
        self._contexts: list[RenewedContext] = []
        self._settled = self._stamp()
        self._doubted: _Stamp | None = None
        """What was found not to fit together at the last look."""
        self._warned_of = _WARN_DAYS
        self._refused = ""
        self._make_context()
        self.current = Material.read(files)
        """What is shown at the moment."""
        self._warn()

    @property
    def client_auth(self) -> ClientAuth:
        return self._client_auth

    @property
    def days_left(self) -> float:
        """Until clients refuse it; negative afterwards."""
        return (self.current.ends - self._now()) / timedelta(days=1)

    @property
    def ends_at(self) -> float:
        """The same as Unix time."""
        return self.current.ends.timestamp()

    @property
    def facts(self) -> dict[str, Any]:
        """For whoever is on call; as JSON values."""
        return {
            "fingerprint": self.current.fingerprint,
            "not_after": self.current.ends.isoformat(),
            "days_left": round(self.days_left, 1),
            "refused": self._refused,
        }

    def context(self, *, http2: bool) -> ssl.SSLContext:
        """For one listener, for as long as it listens."""
        context = RenewedContext(self._make_context(), HTTP2 if http2 else HTTP1)
        self._contexts.append(context)
        return context

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.look()

    def look(self) -> None:
        """Take what the files hold, if it is new and good."""
        stamp = self._stamp()
        if stamp != self._settled:
            self._look_closely(stamp)
        self._warn()

    def _look_closely(self, stamp: _Stamp) -> None:
        try:
            material = Material.read(self._files)
            self._check_times(material)
            made = [self._make_context() for _ in range(max(1, len(self._contexts)))]
        except ConfigError as error:
            if stamp != self._doubted:
                self._doubted = stamp
                return
            self._settled, self._refused = stamp, str(error)
            log.warning("edge.certificate_refused", reason=str(error), kept=self.current.fingerprint, **self._end())
            return
        if self._stamp() != stamp:
            return  # changed while it was read: what was made may be half of each
        is_new = material.digest != self.current.digest
        self.current, self._settled, self._refused = material, stamp, ""
        for context, new in zip(self._contexts, made, strict=False):
            context.install(new)
        if not is_new:
            return
        self._warned_of = _WARN_DAYS
        log.info("edge.certificate_reloaded", fingerprint=material.fingerprint, **self._end())

    def _make_context(self) -> ssl.SSLContext:
        files = self._files
        return server_context(files.certificate, files.key, client_ca=files.client_ca, client_auth=self._client_auth)

    def _check_times(self, material: Material) -> None:
        now = self._now()
        if material.ends <= now:
            raise ConfigError(str(self._files.certificate), f"it ended at {material.ends.isoformat()}")
        if material.begins > now:
            raise ConfigError(str(self._files.certificate), f"it does not begin before {material.begins.isoformat()}")

    def _warn(self) -> None:
        """Once a day while the end is near."""
        days = int(self.days_left // 1)
        if days < self._warned_of:
            self._warned_of = days
            log.warning("edge.certificate_ends_soon", fingerprint=self.current.fingerprint, **self._end())

    def _end(self) -> dict[str, Any]:
        return {"not_after": self.current.ends.isoformat(), "days_left": round(self.days_left, 1)}

    def _stamp(self) -> _Stamp:
        """Differs when any of the files does; contents are compared when it does."""
        return tuple(_stamp(path) for path in (self._files.certificate, self._files.key, self._files.client_ca) if path)


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    # The change time cannot be set back: copying with times kept is a change, too.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

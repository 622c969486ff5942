"""
The state directory of a first start: a development certificate and two API keys, so that nothing is ever served in the
clear or to everybody.

``.lockgate/`` is readable by its owner only. The CA signs one server certificate and its private key is never written:
whoever trusts ``ca.pem`` trusts exactly what was made here. When the certificate is about to end, or the host is
called something else, both are made again. ``demo.key`` scores and ``admin.key`` opens the admin API; both are for
their owner's use, the server reads their digests from ``keys.json``. What is there and still good is never touched.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from gateway.auth.api_key import ApiKey, new_key
from gateway.auth.api_key import digest as key_digest
from gateway.auth.certificates import Authority, Use, alternative_name, write_whole
from gateway.auth.key_file import write_keys
from gateway.core.access import Role
from gateway.core.errors import ConfigError

__all__ = ["StateFiles", "prepare_state"]

_RENEW_BEFORE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class StateFiles:
    """Where things are in a state directory."""

    root: Path

    @property
    def ca(self) -> Path:
        return self.root / "ca.pem"

    @property
    def certificate(self) -> Path:
        """The server's certificate."""
        return self.root / "server.pem"

    @property
    def private_key(self) -> Path:
        return self.root / "server.key"

    @property
    def demo_key(self) -> Path:
        """The API key itself: it scores on every endpoint."""
        return self.root / "demo.key"

    @property
    def admin_key(self) -> Path:
        """The key to the admin API."""
        return self.root / "admin.key"

    @property
    def keys(self) -> Path:
        """Digests of all API keys."""
        return self.root / "keys.json"

    @property
    def key_uses(self) -> Path:
        """When each was used last."""
        return self.root / "key-uses.json"

    @property
    def token_keys(self) -> Path:
        """Private keys that sign tokens; made with the first token."""
        return self.root / "token-keys.json"

    @property
    def run(self) -> Path:
        """Sockets, the plan and the lock of the running server."""
        return self.root / "run"


def prepare_state(
    root: Path, now: datetime | None = None, hostname: str | None = None, *, makes_certificate: bool = True
) -> StateFiles:
    """
    Make what is missing in the state directory; no certificate where the operator has one. Raises ``ConfigError``.
    """
    files = StateFiles(root.resolve())
    now = now or datetime.now(UTC)
    names = ["localhost", *({hostname or socket.gethostname()} - {"localhost"})]
    try:
        for folder in (files.root, files.run):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        if makes_certificate and not _is_good(files, names, now):
            _make_certificates(files, names, now)
        if not files.keys.exists():
            _make_keys(files, now)
    except OSError as error:
        raise ConfigError(str(root), f"expected a directory that can be written: {error.strerror}") from error
    return files


def _is_good(files: StateFiles, names: list[str], now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        issuer = x509.load_pem_x509_certificate(files.ca.read_bytes())
        key = serialization.load_pem_private_key(files.private_key.read_bytes(), None)
        certificate.verify_directly_issued_by(issuer)
        covered = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return (
        key.public_key() == certificate.public_key()
        and certificate.not_valid_after_utc - _RENEW_BEFORE > now
        and set(names) <= set(covered.get_values_for_type(x509.DNSName))
    )


def _make_certificates(files: StateFiles, names: list[str], now: datetime) -> None:
    authority = Authority.make(f"Lockgate development CA {now:%Y-%m-%d}", now)
    alternatives = [alternative_name(name) for name in (*names, "127.0.0.1", "::1")]
    pair = authority.issue("localhost", alternatives, Use.SERVER, now)
    write_whole(files.private_key, pair.key, 0o600)
    write_whole(files.certificate, pair.certificate, 0o644)
    write_whole(files.ca, authority.certificate, 0o644)


def _make_keys(files: StateFiles, now: datetime) -> None:
    made = []
    for file, name, role in ((files.demo_key, "demo", Role.SCORE), (files.admin_key, "admin", Role.ADMIN)):
        key = new_key()
        write_whole(file, f"{key}\n".encode(), 0o600)
        made.append(ApiKey(name=name, sha256=key_digest(key), roles=(role,), created=int(now.timestamp())))
    write_keys(files.keys, made)

"""
The state directory of a first start: a development certificate and one API key, so that nothing is ever served in the
clear or to everybody.

``.lockgate/`` is readable by its owner only. The CA signs one server certificate and its private key is never written:
whoever trusts ``ca.pem`` trusts exactly what was made here. When the certificate is about to end, or the host is
called something else, both are made again. The API key is in ``demo.key`` for its owner's use; the server reads its
digest from ``keys.json``. What is there and still good is never touched.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.auth.api_key import ApiKey, new_key, write_keys
from gateway.auth.api_key import digest as key_digest
from gateway.core.errors import ConfigError

__all__ = ["StateFiles", "prepare_state"]

_LIFE = timedelta(days=397)
"""The longest that browsers accept from any CA."""
_RENEW_BEFORE = timedelta(days=30)
_SKEW = timedelta(hours=1)
"""Clients whose clock is a little behind."""


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
        """The API key itself."""
        return self.root / "demo.key"

    @property
    def keys(self) -> Path:
        """Digests of all API keys."""
        return self.root / "keys.json"

    @property
    def run(self) -> Path:
        """Sockets, the plan and the lock of the running server."""
        return self.root / "run"


def prepare_state(root: Path, now: datetime | None = None, hostname: str | None = None) -> StateFiles:
    """Make what is missing in the state directory. Raises ``ConfigError``."""
    files = StateFiles(root.resolve())
    now = now or datetime.now(UTC)
    names = ["localhost", *({hostname or socket.gethostname()} - {"localhost"})]
    try:
        for folder in (files.root, files.run):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        if not _is_good(files, names, now):
            _make_certificates(files, names, now)
        if not files.keys.exists():
            _make_key(files)
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
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Lockgate development CA {now:%Y-%m-%d}")])
    ca = (
        _certificate(ca_name, ca_name, ca_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    addresses = [ip_address("127.0.0.1"), ip_address("::1")]
    alternatives = [*(x509.DNSName(name) for name in names), *(x509.IPAddress(address) for address in addresses)]
    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        _certificate(server_name, ca_name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(files.private_key, private, 0o600)
    _write(files.certificate, certificate.public_bytes(pem), 0o644)
    _write(files.ca, ca.public_bytes(pem), 0o644)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _make_key(files: StateFiles) -> None:
    key = new_key()
    _write(files.demo_key, f"{key}\n".encode(), 0o600)
    write_keys(files.keys, [ApiKey(name="demo", sha256=key_digest(key))])


def _write(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others in between."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    partial.replace(path)

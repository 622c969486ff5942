"""A certificate authority, the files of a server that it signs, and both ends of a handshake without a network."""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import trustme

from gateway.edge.tls_reload import TlsFiles

__all__ = ["SecretMount", "ServerFiles", "fingerprint", "fingerprint_of", "handshake"]

_TURNS = 4
"""Flights of a handshake, and one for what is sent after it."""


@dataclass(slots=True)
class ServerFiles:
    """``server.pem`` and ``server.key`` of ``localhost`` in a folder."""

    folder: Path
    authority: trustme.CA

    @classmethod
    def made(cls, folder: Path) -> ServerFiles:
        made = cls(folder, trustme.CA())
        made.renew()
        return made

    @property
    def files(self) -> TlsFiles:
        return TlsFiles(self.folder / "server.pem", self.folder / "server.key")

    @property
    def with_clients(self) -> TlsFiles:
        """And the authority of clients, which is the same."""
        path = self.folder / "clients.pem"
        self.authority.cert_pem.write_to_path(str(path))
        return TlsFiles(self.folder / "server.pem", self.folder / "server.key", path)

    def renew(self, key_type: trustme.KeyType = trustme.KeyType.ECDSA) -> str:
        """Another pair in the place of the one that is there; its fingerprint."""
        leaf = self.authority.issue_cert("localhost", "127.0.0.1", key_type=key_type)
        _write(self.folder, leaf)
        return fingerprint(leaf)

    def client(self, leaf: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """Trusts the authority; shows ``leaf``."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if leaf is not None:
            leaf.configure_cert(context)
        return context


@dataclass(slots=True)
class SecretMount:
    """
    A secret as Kubernetes mounts it: files are links into ``..data``, which is a link to a folder of one version.

    A new version is a new folder, and one rename.
    """

    folder: Path
    authority: trustme.CA
    versions: int = 0

    @property
    def files(self) -> TlsFiles:
        return TlsFiles(self.folder / "server.pem", self.folder / "server.key")

    def renew(self) -> str:
        """Swap a new version in; the fingerprint of its certificate."""
        self.versions += 1
        version = self.folder / f"..version_{self.versions}"
        version.mkdir()
        leaf = self.authority.issue_cert("localhost", "127.0.0.1")
        _write(version, leaf)
        link = self.folder / "..data_tmp"
        link.symlink_to(version.name)
        link.replace(self.folder / "..data")
        for name in ("server.pem", "server.key"):
            with suppress(FileExistsError):
                (self.folder / name).symlink_to(f"..data/{name}")
        return fingerprint(leaf)


def fingerprint(leaf: trustme.LeafCert) -> str:
    """As logs and browsers show it."""
    return fingerprint_of(ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode()))


def fingerprint_of(der: bytes | None) -> str:
    """The same of a certificate as it comes off the wire."""
    return sha256(der or b"").digest().hex(":").upper()


def handshake(
    client: ssl.SSLContext, server: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after it; raises what the client found wrong, or else the server."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname="localhost", session=session),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(_TURNS):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    with suppress(ssl.SSLWantReadError):  # tickets come after it
        ends[0].read(1)
    with suppress(ssl.SSLWantReadError):  # with TLS 1.3 the client's certificate is looked at after its last word
        ends[1].read(1)
    return ends


def _write(folder: Path, leaf: trustme.LeafCert) -> None:
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    for name, data in (("server.pem", chain), ("server.key", leaf.private_key_pem.bytes())):
        partial = folder / f"{name}.{os.getpid()}"
        partial.write_bytes(data)
        partial.replace(folder / name)

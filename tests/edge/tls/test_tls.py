"""A server context is modern, and a wrong file is named."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from gateway.core.errors import ConfigError
from gateway.edge.tls import server_context


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    leaf = trustme.CA().issue_cert("localhost")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())
    return certificate, key


def test_nothing_older_than_tls_1_2_is_spoken(files: tuple[Path, Path]) -> None:
    assert server_context(*files).minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_client_that_offers_http_2_is_given_http_1_1(files: tuple[Path, Path]) -> None:
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_alpn_protocols(["h2", "http/1.1"])
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server),
        server_context(*files).wrap_bio(to_server, to_client, server_side=True),
    )
    for end in ends * 3:
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()

    assert ends[0].selected_alpn_protocol() == "http/1.1"


def test_a_missing_file_is_named(files: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match=r"no\.pem"):
        server_context(files[0], files[1].with_name("no.pem"))


def test_a_key_of_another_certificate_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(trustme.CA().issue_cert("localhost").private_key_pem.bytes())

    with pytest.raises(ConfigError, match=r"cert\.pem: expected a certificate that belongs to"):
        server_context(files[0], other)


def test_an_encrypted_key_is_refused_instead_of_asking_the_terminal(files: tuple[Path, Path]) -> None:
    plain = serialization.load_pem_private_key(files[1].read_bytes(), None)
    files[1].write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )

    with pytest.raises(ConfigError, match="encrypted"):
        server_context(*files)

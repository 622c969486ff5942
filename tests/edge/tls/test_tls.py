"""A server context is modern, and a wrong file is named."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from gateway.core.errors import ConfigError
from gateway.edge.tls import ClientAuth, TlsConfig, server_context
from tests.support.tls_files import ServerFiles, handshake


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    leaf = trustme.CA().issue_cert("localhost")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())
    return certificate, key


@pytest.fixture
def server(tmp_path: Path) -> ServerFiles:
    return ServerFiles.made(tmp_path)


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


# --- what is spoken ------------------------------------------------------------------------------------------------


def test_every_suite_of_tls_1_2_has_forward_secrecy_and_authenticated_encryption(files: tuple[Path, Path]) -> None:
    suites = [each for each in server_context(*files).get_ciphers() if each["protocol"] == "TLSv1.2"]

    assert suites
    assert {each["kea"] for each in suites} == {"kx-ecdhe"}
    assert all(each["aead"] for each in suites)


@pytest.mark.parametrize("suite", ["AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256"])
def test_a_client_that_knows_only_a_weaker_suite_is_turned_away(server: ServerFiles, suite: str) -> None:
    server.renew(trustme.KeyType.RSA)
    client = server.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(suite)

    with pytest.raises(ssl.SSLError, match="NO_SHARED_CIPHER"):
        handshake(client, server_context(server.files.certificate, server.files.key))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_comes_back_with_its_session_is_known(server: ServerFiles, version: ssl.TLSVersion) -> None:
    client, context = server.client(), server_context(server.files.certificate, server.files.key)
    client.minimum_version = client.maximum_version = version
    first = handshake(client, context)
    second = handshake(client, context, first[0].session)

    assert (first[0].session_reused, second[0].session_reused, second[1].session_reused) == (False, True, True)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_comes_back_with_its_session_keeps_its_name(server: ServerFiles, version: ssl.TLSVersion) -> None:
    files = server.with_clients
    client = server.client(server.authority.issue_cert("client.test"))
    client.minimum_version = client.maximum_version = version
    context = server_context(files.certificate, files.key, client_ca=files.client_ca, client_auth="required")
    again = handshake(client, context, handshake(client, context)[0].session)[1]
    shown = again.getpeercert()

    assert again.session_reused
    assert shown
    assert shown["subjectAltName"] == (("DNS", "client.test"),)


# --- clients' certificates -----------------------------------------------------------------------------------------


def asking(server: ServerFiles, client_auth: ClientAuth) -> ssl.SSLContext:
    files = server.with_clients
    return server_context(files.certificate, files.key, client_ca=files.client_ca, client_auth=client_auth)


@pytest.mark.parametrize("client_auth", ["optional", "required"])
def test_a_client_shows_its_certificate(server: ServerFiles, client_auth: ClientAuth) -> None:
    client = server.client(server.authority.issue_cert("client.test"))

    assert handshake(client, asking(server, client_auth))[1].getpeercert()


def test_a_client_without_one_may_come_where_that_is_optional(server: ServerFiles) -> None:
    assert not handshake(server.client(), asking(server, "optional"))[1].getpeercert()


def test_a_client_without_one_is_turned_away_where_it_must(server: ServerFiles) -> None:
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        handshake(server.client(), asking(server, "required"))


@pytest.mark.parametrize("client_auth", ["optional", "required"])
def test_a_certificate_that_a_stranger_signed_ends_the_handshake(server: ServerFiles, client_auth: ClientAuth) -> None:
    client = server.client(trustme.CA().issue_cert("client.test"))

    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        handshake(client, asking(server, client_auth))


def test_an_authority_that_is_none_is_named(server: ServerFiles, tmp_path: Path) -> None:
    path = tmp_path / "clients.pem"
    path.write_text("nothing")

    with pytest.raises(ConfigError, match=r"clients\.pem: expected certificates of authorities"):
        server_context(server.files.certificate, server.files.key, client_ca=path, client_auth="required")


# --- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"certificate": Path("a")}, "certificate"),
        ({"key": Path("a")}, "certificate"),
        ({"client_auth": "required"}, "client_ca"),
        ({"client_ca": Path("a")}, "client_auth"),
    ],
)
def test_settings_that_do_not_go_together_are_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: expected"):
        TlsConfig(**settings)

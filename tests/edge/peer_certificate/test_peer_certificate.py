"""What a real TLS connection says of its client, taken from the connection and from a call of gRPC on it."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest
import trustme

from gateway.core.access import ClientCertificate
from gateway.edge.peer_certificate import certificate_in, certificate_of
from h2grpc.peer import auth_context


class Ended(asyncio.Transport):
    """A transport whose handshake is done."""

    def __init__(self, tls: ssl.SSLObject | None) -> None:
        super().__init__()
        self._tls = tls

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._tls if name == "ssl_object" else default


def shaken(
    mine: trustme.LeafCert | None, ca: trustme.CA, verify: ssl.VerifyMode = ssl.CERT_OPTIONAL
) -> asyncio.BaseTransport:
    """The server's end of a connection with a client that shows ``mine``."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(server)
    ca.configure_trust(server)
    server.verify_mode = verify
    client = ssl.create_default_context()
    ca.configure_trust(client)
    if mine is not None:
        mine.configure_cert(client)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(up, down, server_side=True)
    theirs = client.wrap_bio(down, up, server_hostname="localhost")
    for _ in range(4):
        for end in (theirs, ours):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return Ended(ours)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def shown(ca: trustme.CA) -> asyncio.BaseTransport:
    names = ("scorer.example", "10.0.0.7", "team@example.com")
    return shaken(ca.issue_cert(*names, common_name="scorer"), ca)


def test_a_certificate_has_its_common_name_and_the_names_that_are_no_addresses(shown: asyncio.BaseTransport) -> None:
    assert certificate_of(shown) == ClientCertificate("scorer", ("scorer.example", "team@example.com"))


def test_a_call_says_the_same_as_its_connection(shown: asyncio.BaseTransport) -> None:
    assert certificate_in(auth_context(shown)) == certificate_of(shown)


def test_calls_of_one_client_share_what_was_put_together_once(shown: asyncio.BaseTransport) -> None:
    assert certificate_in(auth_context(shown)) is certificate_in(auth_context(shown))


def test_a_certificate_without_a_common_name_has_an_empty_one(ca: trustme.CA) -> None:
    transport = shaken(ca.issue_cert("scorer.example"), ca)

    assert (certificate_of(transport), certificate_in(auth_context(transport))) == (
        ClientCertificate("", ("scorer.example",)),
    ) * 2


@pytest.mark.parametrize("verify", [ssl.CERT_OPTIONAL, ssl.CERT_NONE])
def test_who_shows_none_has_none(ca: trustme.CA, verify: ssl.VerifyMode) -> None:
    transport = shaken(None, ca, verify)

    assert (certificate_of(transport), certificate_in(auth_context(transport))) == (None, None)


def test_a_listener_that_does_not_ask_knows_of_none(ca: trustme.CA) -> None:
    transport = shaken(ca.issue_cert("scorer.example"), ca, ssl.CERT_NONE)

    assert (certificate_of(transport), certificate_in(auth_context(transport))) == (None, None)


def test_in_clear_text_there_is_none() -> None:
    assert (certificate_of(Ended(None)), certificate_in(auth_context(Ended(None)))) == (None, None)

"""Who gets a connection, and that nothing which was read to find out is lost."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from gateway.edge.listener import PREFACE, OnePort


class FakeTransport(asyncio.Transport):
    def __init__(self, protocol: asyncio.Protocol, alpn: str | None = None) -> None:
        super().__init__()
        self.protocol: asyncio.BaseProtocol = protocol
        self._alpn, self.is_closed = alpn, False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "ssl_object" else default

    def selected_alpn_protocol(self) -> str | None:
        return self._alpn

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def close(self) -> None:
        self.is_closed = True


class Speaker(asyncio.Protocol):
    def __init__(self, name: str) -> None:
        self.name, self.heard, self.transport = name, b"", None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("None", transport)

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.heard += data


def one_port(**changes: Any) -> OnePort:
    settings: dict[str, Any] = {"is_tls": False, "silence": 60.0}
    return OnePort(lambda: Speaker("http1"), lambda: Speaker("http2"), **(settings | changes))


def accepted(*, alpn: str | None = None, port: OnePort | None = None, **settings: Any) -> FakeTransport:
    protocol = (port or one_port(**settings))()
    transport = FakeTransport(protocol, alpn)
    protocol.connection_made(transport)
    return transport


def hear(transport: FakeTransport, *parts: bytes) -> Speaker | None:
    for part in parts:
        cast("asyncio.Protocol", transport.protocol).data_received(part)
    return transport.protocol if isinstance(transport.protocol, Speaker) else None


@pytest.mark.parametrize(("alpn", "name"), [("h2", "http2"), ("http/1.1", "http1"), (None, "http1")])
def test_over_tls_alpn_decides_before_the_first_byte(alpn: str | None, name: str) -> None:
    speaker = hear(accepted(alpn=alpn, is_tls=True))

    assert speaker is not None
    assert (speaker.name, speaker.transport is not None) == (name, True)


@pytest.mark.parametrize("cut", range(1, len(PREFACE) + 3))
async def test_a_preface_in_two_pieces_is_http_2(cut: int) -> None:
    data = PREFACE + b"more"
    speaker = hear(accepted(), data[:cut], data[cut:])

    assert speaker is not None
    assert (speaker.name, speaker.heard) == ("http2", data)


@pytest.mark.parametrize("cut", range(1, 20))
@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"PUT / HTTP/1.1\r\nHost: h\r\n\r\n", b"PRI * HTTP/1.1\r\n\r\n"]
)
async def test_anything_else_is_http_1_1(data: bytes, cut: int) -> None:
    speaker = hear(accepted(), data[:cut], data[cut:])

    assert speaker is not None
    assert (speaker.name, speaker.heard) == ("http1", data)


async def test_a_part_of_the_preface_decides_nothing() -> None:
    transport = accepted()

    assert hear(transport, PREFACE[:-1]) is None

    cast("asyncio.Protocol", transport.protocol).connection_lost(None)


async def test_who_stays_silent_is_closed() -> None:
    transport = accepted(silence=0.0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert transport.is_closed


async def test_who_has_spoken_is_not_closed() -> None:
    transport = accepted(silence=0.0)
    hear(transport, b"GET")
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert not transport.is_closed


async def test_a_port_that_closes_leaves_those_that_have_not_said_what_they_speak() -> None:
    port = one_port()
    silent, speaking = accepted(port=port), accepted(port=port)
    hear(speaking, b"GET")
    port.close()

    assert (silent.is_closed, speaking.is_closed) == (True, False)

    cast("asyncio.Protocol", silent.protocol).connection_lost(None)


async def test_a_port_forgets_who_left_in_mid_preface() -> None:
    port = one_port()
    transport = accepted(port=port)
    cast("asyncio.Protocol", transport.protocol).connection_lost(None)
    port.close()

    assert not transport.is_closed


def test_a_client_is_expected_until_its_handshake_is_done() -> None:
    changes: list[str] = []
    port = one_port(is_tls=True, on_change=lambda: changes.append("changed"), on_secured=lambda: changes.append("done"))
    protocol = port()
    before = (port.is_expecting, list(changes))
    protocol.connection_made(FakeTransport(protocol, "h2"))

    assert (before, port.is_expecting, changes) == ((True, []), False, ["done", "changed"])


def test_a_client_whose_handshake_failed_is_not_expected_any_more() -> None:
    changes: list[str] = []
    port = one_port(is_tls=True, on_change=lambda: changes.append("changed"))
    protocol = port()
    is_expected = port.is_expecting
    del protocol  # all that a failed handshake does to it

    assert (is_expected, port.is_expecting, changes) == (True, False, ["changed"])


def test_a_port_without_http_2_speaks_http_1_1_whatever_was_agreed_on() -> None:
    port = OnePort(lambda: Speaker("http1"), None, is_tls=True, silence=60.0)
    speaker = hear(accepted(port=port, alpn="h2"))

    assert speaker is not None
    assert speaker.name == "http1"


def test_a_port_in_clear_text_without_http_2_does_not_look() -> None:
    protocol = OnePort(lambda: Speaker("http1"), None, is_tls=False, silence=60.0)()

    assert isinstance(protocol, Speaker)

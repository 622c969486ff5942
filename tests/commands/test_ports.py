from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from gateway.commands.ports import refuse_taken_ports
from gateway.core.errors import ConfigError


@pytest.fixture
def shared() -> Iterator[int]:
    """A port that somebody listens on and is willing to share."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_that_another_gateway_would_share_is_refused_by_name(shared: int) -> None:
    with pytest.raises(
        ConfigError, match=rf"--port: 127\.0\.0\.1:{shared} cannot be listened on: Address already in use"
    ):
        refuse_taken_ports({"--port": ("127.0.0.1", shared)})


def test_two_settings_must_not_name_one_port() -> None:
    with pytest.raises(ConfigError, match="--grpc-port: port 4711 is already that of --port"):
        refuse_taken_ports({"--port": ("127.0.0.1", 4711), "--grpc-port": ("127.0.0.1", 4711)})


def test_an_address_that_is_not_ours_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--port: 192\.0\.2\.1"):
        refuse_taken_ports({"--port": ("192.0.2.1", 4711)})


def test_port_0_is_always_free() -> None:
    refuse_taken_ports({"--port": ("127.0.0.1", 0), "--grpc-port": ("127.0.0.1", 0)})

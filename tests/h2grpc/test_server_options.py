"""Addresses and grpcio's channel arguments."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from h2grpc.limits import Limits
from h2grpc.listen import listen
from h2grpc.options import limits_from, reuses_port


def test_options_of_grpcio_become_limits() -> None:
    limits = limits_from(
        [
            ("grpc.max_receive_message_length", 1_000),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", 2_000),
            ("grpc.max_connection_age_ms", 60_000),
            ("grpc.keepalive_time_ms", 2**31 - 1),
            ("grpc.something_else", 1),
        ]
    )

    assert (limits.max_receive_message, limits.max_send_message, limits.max_metadata) == (1_000, None, 2_000)
    assert (limits.max_age, limits.keepalive) == (60.0, None)


def test_sharing_a_port_is_said_or_not() -> None:
    assert reuses_port([("grpc.so_reuseport", 1)]) is True
    assert reuses_port([("grpc.so_reuseport", 0)]) is False
    assert reuses_port([]) is None


@pytest.mark.parametrize(
    "wrong", [{"stream_window": 1_000}, {"connection_window": 65_535}, {"max_streams": 0}, {"max_metadata": 0}]
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Limits(**wrong)  # type: ignore[arg-type]


def test_a_socket_file_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/x.sock"
    listen(address).close()
    again = listen(address)

    assert again.family == socket.AF_UNIX
    again.close()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")

    with pytest.raises(OSError, match="in use"):
        listen(f"unix:{path}")
    assert path.read_text() == "data"


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1:http", ""])
def test_an_address_without_a_port_is_an_error(address: str) -> None:
    with pytest.raises(OSError, match="not host:port"):
        listen(address)


def test_several_listeners_share_a_port_only_if_all_want_to() -> None:
    first = listen("127.0.0.1:0", reuse_port=True)
    address = f"127.0.0.1:{first.getsockname()[1]}"
    second = listen(address, reuse_port=True)

    with pytest.raises(OSError, match="in use"):
        listen(address)
    first.close()
    second.close()

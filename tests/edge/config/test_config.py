"""A wrong setting is refused by name."""

from __future__ import annotations

import msgspec
import pytest

from gateway.edge.config import EdgeConfig


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"http_port": 70000}, "http_port: expected 0 to 65535"),
        ({"max_in_flight": 0}, "max_in_flight: expected 1 to 1000000, got 0"),
        ({"max_body_bytes": 0}, "max_body_bytes"),
        ({"max_header_bytes": 10}, "max_header_bytes"),
        ({"plaintext": "yes"}, "plaintext"),
        ({"plaintext": "loopback"}, "plaintext_port: expected a port, because plaintext is asked for"),
        ({"plaintext_port": 8080}, "plaintext: expected loopback or anywhere, because a plaintext_port is given"),
        ({"plaintext": "loopback", "plaintext_port": 70000}, "plaintext_port: expected 0 to 65535"),
        ({"tls": {"client_auth": "required"}}, "client_ca: expected the authority"),
        ({"personality": "aws"}, "personality"),
        ({"max_inflight": 1}, "max_inflight"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(settings: dict[str, object], said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(settings, EdgeConfig)

    assert said in str(refused.value)


def test_the_defaults_are_valid() -> None:
    assert EdgeConfig().personality == "managed"

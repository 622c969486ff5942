"""Clear text is served only to whom the settings say."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from gateway.edge.config import EdgeConfig, Plaintext
from gateway.edge.http1 import Http1Server
from gateway.edge.http_engine import plain_server
from tests.support.edge_app import exchange_of
from tests.support.edge_service import FakeCore


def config(plaintext: Plaintext) -> EdgeConfig:
    return EdgeConfig(host="192.0.2.1", plaintext=plaintext, plaintext_port=None if plaintext == "none" else 8080)


def test_by_default_there_is_none() -> None:
    assert plain_server(config("none"), exchange_of(FakeCore(), EdgeConfig())) is None


@pytest.mark.parametrize(("plaintext", "level"), [("loopback", "info"), ("anywhere", "warning")])
def test_one_that_others_can_reach_is_warned_of(plaintext: Plaintext, level: str) -> None:
    with capture_logs() as logs:
        plain_server(config(plaintext), exchange_of(FakeCore(), EdgeConfig()))

    assert [(each["event"], each["log_level"]) for each in logs] == [("edge.plaintext", level)]


@pytest.mark.parametrize(("plaintext", "host"), [("loopback", "127.0.0.1"), ("anywhere", "192.0.2.1")])
def test_it_listens_where_it_was_told_to(plaintext: Plaintext, host: str) -> None:
    server = plain_server(config(plaintext), exchange_of(FakeCore(), EdgeConfig()))

    assert isinstance(server, Http1Server)
    assert (server.config.host, server.config.http_port) == (host, 8080)

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.retry import Retry

from feature_cache.embedded import EmbeddedOptions, EmbeddedStore


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    """A real server for tests that leave it running."""
    store = EmbeddedStore(
        Path(tmp_path_factory.mktemp("store")), EmbeddedOptions(arguments=("--enable-debug-command", "local"))
    )
    store.spawn()
    try:
        with Redis(
            unix_socket_path=str(store.socket), retry=Retry(ConstantBackoff(0.01), 500, (NotConnected,))
        ) as client:
            client.ping()
        yield store
    finally:
        store.kill()


@pytest.fixture
def client(server: EmbeddedStore) -> Iterator[Redis]:
    """A client of the empty store."""
    with Redis(unix_socket_path=str(server.socket)) as client:
        client.flushall()
        yield client

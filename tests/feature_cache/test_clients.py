"""What a writer writes through each kind of store, the reader reads there."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_cache.clients import open_client
from feature_cache.credentials import Credential
from feature_cache.embedded import start_embedded
from feature_cache.errors import Unavailable
from feature_cache.schema import Entity, Feature, FeatureView
from feature_cache.settings import StoreSettings, TlsSettings
from feature_cache.store import FeatureStore
from feature_cache.writer import NewRow, Writer, Written
from tests.support.ports import free_ports
from tests.support.tls_front import start_tls
from tests.support.valkey_servers import start_cluster, start_sentinel

VIEW = FeatureView(name="v", entities=(Entity(name="id"),), features=(Feature(name="x", type="float64"),))
ROWS = [NewRow([i], [float(i)], 1) for i in range(300)]


async def written_and_read(settings: StoreSettings) -> tuple[Written, list[object]]:
    async with open_client(settings) as client:
        result = await Writer(client, VIEW).write(ROWS)
    async with FeatureStore.open(settings, [VIEW], patience=10) as store:
        rows = await store.read("v", [(i,) for i in range(300)])
    return result, [row.values[0] for row in rows]


async def test_to_a_cluster(tmp_path: Path) -> None:
    async with start_cluster(tmp_path) as servers:
        url = f"redis+cluster://127.0.0.1:{servers[0].port}"
        result, values = await written_and_read(StoreSettings(url=url, timeout_ms=5000))

        assert result.written == 300
        assert values == [float(i) for i in range(300)]


async def test_a_cluster_that_is_not_there_is_unavailable() -> None:
    (port,) = free_ports(1)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await written_and_read(StoreSettings(url=f"redis+cluster://127.0.0.1:{port}"))


async def test_to_the_master_that_a_sentinel_knows(tmp_path: Path) -> None:
    async with start_sentinel(tmp_path) as found:
        url = f"redis+sentinel://127.0.0.1:{found.port}/main"
        result, values = await written_and_read(StoreSettings(url=url, timeout_ms=5000))

        assert result.written == 300
        assert values == [float(i) for i in range(300)]


async def test_over_tls_with_a_client_certificate(tmp_path: Path) -> None:
    async with (
        start_embedded(tmp_path / "s") as server,
        start_tls(server.socket, tmp_path, wants_client=True) as (port, authority, certificate),
    ):
        tls = TlsSettings(ca_file=authority, cert_file=certificate)
        settings = StoreSettings(url=f"rediss://localhost:{port}", tls=tls, timeout_ms=5000)
        result, values = await written_and_read(settings)

        assert result.written == 300
        assert values == [float(i) for i in range(300)]


async def test_as_a_user_with_no_more_rights_than_writing_needs(tmp_path: Path) -> None:
    rules = ("+eval", "+get", "+getrange", "+set", "+client|setinfo", "+client|setname", "+hello", "~features:*")

    async def provide() -> Credential:
        return Credential("writer", "secret")

    async with start_embedded(tmp_path / "s") as server:
        settings = StoreSettings(url=server.url)
        async with open_client(settings) as admin:
            await admin.execute_command("ACL", "SETUSER", "writer", "on", ">secret", *rules)
        async with open_client(settings, provide) as client:
            result = await Writer(client, VIEW).write(ROWS)

        assert result.written == 300

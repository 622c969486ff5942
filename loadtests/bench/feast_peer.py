# mypy: ignore-errors
"""
Feast's own reading of the rows that features_cost.py wrote: prints CPU µs a row of ``get_online_features``.

Runs in an interpreter that has ``feast[redis]``; arguments: the store's socket, and the rows of one call.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.types import Float64, Int64
from redis import Redis

CALLS = 20
REPEATS = 5


def main(socket: str, turn: int) -> None:
    # Its connection strings know hosts and ports only.
    RedisOnlineStore._get_client = lambda *_: Redis(unix_socket_path=socket)
    with tempfile.TemporaryDirectory() as folder:
        config = RepoConfig(
            project="bench",
            provider="local",
            registry=str(Path(folder) / "registry.db"),
            online_store={"type": "redis", "connection_string": "localhost:6379"},
            offline_store={"type": "file"},
            entity_key_serialization_version=3,
        )
        store = FeatureStore(config=config)
        driver = Entity(name="driver_id", join_keys=["driver_id"], value_type=ValueType.INT64)
        names = [f"f{place}" for place in range(10)]
        source = Path(folder) / "none.parquet"
        view = FeatureView(
            name="numbers",
            entities=[driver],
            schema=[Field(name="driver_id", dtype=Int64), *(Field(name=name, dtype=Float64) for name in names)],
            source=FileSource(path=str(source), timestamp_field="at"),
        )
        store.registry.apply_entity(driver, "bench", commit=True)
        store.registry.apply_feature_view(view, "bench", commit=True)
        wanted = [f"numbers:{name}" for name in names]

        def call(n: int) -> dict:
            rows = [{"driver_id": n * turn + place} for place in range(turn)]
            return store.get_online_features(features=wanted, entity_rows=rows).to_dict()

        answer = call(1)
        if answer["f3"][2] != turn + 2 + 0.3:
            raise SystemExit(f"Feast reads something else: {answer}")
        costs = []
        for _ in range(REPEATS):
            before = time.process_time()
            for n in range(CALLS):
                call(n)
            costs.append((time.process_time() - before) / CALLS / turn * 1e6)
        sys.stdout.write(json.dumps(median(costs)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""
What a row of features costs: CPU µs of this process per row, for local hits and pipelined misses, in both formats.

    python -m loadtests.bench.features_cost [--feast /path/to/python] [--json]

One run, one machine, one real server on a Unix socket; only the reading process's CPU is counted, so other work on the
machine hardly shows. A turn is 32 rows of ten numbers, asked for by one caller or by 32 at once. The task that each of
32 callers needs is measured with callers that do nothing, and taken off. The rows that begin with "gateway" are one-row
requests, from the parsed body to the row that goes to the model: with all ten numbers sent, or with the key alone.
With ``--feast`` an interpreter that has ``feast[redis]`` reads the same rows with ``get_online_features`` (see
feast_peer.py).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from redis.asyncio import Redis

from feature_cache.embedded import EmbeddedStore, start_embedded
from feature_cache.encoding import RowCodec
from feature_cache.feast import FeastCodec, feast_key_maker
from feature_cache.keys import key_maker
from feature_cache.schema import Entity, FeastSource, Feature, FeatureView
from feature_cache.settings import LocalSettings, StoreSettings
from feature_cache.store import FeatureStore
from gateway.core.payload import Table
from gateway.core.signature import Column, Kind, Signature
from gateway.core.tensor import BY_NAME
from gateway.features.assemble import Assembler
from gateway.features.bind import bind
from gateway.features.config import ViewFile
from gateway.features.lookup import Completer

__all__ = ["FEAST_CALL", "HIT", "MISS", "main", "run"]

NO_FEATURES = "gateway: no features, ten numbers sent"
HIT = "compact: hit, with policy"
MISS = "compact: miss, one caller of 32 rows"
FEAST_CALL = "feast: get_online_features, 32 rows a call"

ENTITIES = 2_000
TURN = 32
TURNS = 150
REPEATS = 5
FEAST_PEER = Path(__file__).with_name("feast_peer.py")

_FEATURES = tuple(Feature(name=f"f{place}", type="float64") for place in range(10))
_KEYS = (Entity(name="driver_id"),)
COMPACT = ViewFile(name="compact", entities=_KEYS, features=_FEATURES)
FEAST = FeatureView(
    name="feast",
    entities=_KEYS,
    features=_FEATURES,
    format="feast",
    feast=FeastSource(project="bench", view="numbers"),
)


async def measure(server: EmbeddedStore) -> dict[str, float]:
    """Name → CPU µs a row, the median of some repeats taken in turns."""
    await fill(server)
    timeout_ms = 1_000.0
    local = StoreSettings(url=server.url, timeout_ms=timeout_ms)
    bare = StoreSettings(url=server.url, timeout_ms=timeout_ms, local=LocalSettings(max_rows=0))
    views = (COMPACT, FEAST)
    async with FeatureStore.open(local, views) as near, FeatureStore.open(bare, views) as far:
        peer = Redis(unix_socket_path=str(server.socket), protocol=3)
        runs: dict[str, Callable[[int], Awaitable[None]]] = {}
        for view in views:
            for turn in range(TURNS):
                await near.read(view.name, turn_of(turn))
            runs[f"{view.name}: hit, with policy"] = hits(near, view.name)
            runs[f"{view.name}: miss, one caller of {TURN} rows"] = one_caller(far, view.name)
            runs[f"{view.name}: miss, {TURN} callers of one row"] = many_callers(far, view.name)
        runs[NO_FEATURES] = all_sent(near)
        runs["gateway: local hit"] = key_sent(near)
        runs["gateway: pipelined miss, 32 callers of one row"] = keys_sent_at_once(far)
        runs["nothing: 32 callers"] = nobody
        runs["redis-py pipeline: HMGET of the feast hash, no decoding"] = redis_py(peer)
        found: dict[str, list[float]] = {name: [] for name in runs}
        gc.collect()
        gc.freeze()
        for _ in range(REPEATS):
            for name, run in runs.items():
                before = time.process_time()
                for turn in range(TURNS):
                    await run(turn)
                found[name].append((time.process_time() - before) / TURNS / TURN * 1e6)
        await peer.aclose()
    costs = {name: median(values) for name, values in found.items()}
    idle = costs.pop("nothing: 32 callers")
    return {name: cost - idle if "callers of one row" in name else cost for name, cost in costs.items()}


def turn_of(turn: int) -> list[tuple[int]]:
    return [((turn * TURN + n) % ENTITIES,) for n in range(TURN)]


def hits(store: FeatureStore, view: str) -> Callable[[int], Awaitable[None]]:
    async def run(turn: int) -> None:
        rows = store.peek(view, turn_of(turn))
        assert rows is not None, "not in the local copy"  # noqa: S101 — a bench that measures something else is none
        store.resolve(view, rows)

    return run


def one_caller(store: FeatureStore, view: str) -> Callable[[int], Awaitable[None]]:
    async def run(turn: int) -> None:
        store.resolve(view, await store.read(view, turn_of(turn)))

    return run


def many_callers(store: FeatureStore, view: str) -> Callable[[int], Awaitable[None]]:
    async def caller(entity: tuple[int]) -> None:
        store.resolve(view, await store.read(view, (entity,)))

    async def run(turn: int) -> None:
        await asyncio.gather(*(caller(entity) for entity in turn_of(turn)))

    return run


def model(store: FeatureStore) -> tuple[Assembler, Completer]:
    """Of a model that takes the ten numbers."""
    columns = tuple(Column(name=each.name, kind=Kind.FLOAT, datatype=BY_NAME["FP64"]) for each in _FEATURES)
    signature = Signature(inputs=columns, outputs=())
    binding = bind("bench", signature, {each.name: f"compact:{each.name}" for each in _FEATURES}, {"compact": COMPACT})
    assembler = Assembler(signature, TURN)
    return assembler, Completer(binding, assembler, store)


def all_sent(store: FeatureStore) -> Callable[[int], Awaitable[None]]:
    assembler, _ = model(store)
    names = [each.name for each in _FEATURES]
    rows = [[n + place / 10 for place in range(10)] for n in range(TURN)]

    async def run(turn: int) -> None:  # noqa: ARG001
        for row in rows:
            assembler(Table(names, [row]))

    return run


def key_sent(store: FeatureStore) -> Callable[[int], Awaitable[None]]:
    _, completer = model(store)

    async def run(turn: int) -> None:
        if turn == 0:  # the first request of a form takes the careful way, which remembers it
            await completer(Table(["driver_id"], [[0]]), time.monotonic() + 60)
        for (entity,) in turn_of(turn):
            row = completer.at_once(Table(["driver_id"], [[entity]]))
            assert row is not None, "not in the local copy"  # noqa: S101 — as above

    return run


def keys_sent_at_once(store: FeatureStore) -> Callable[[int], Awaitable[None]]:
    _, completer = model(store)

    async def caller(entity: int) -> None:
        await completer(Table(["driver_id"], [[entity]]), time.monotonic() + 60)

    async def run(turn: int) -> None:
        await asyncio.gather(*(caller(entity) for (entity,) in turn_of(turn)))

    return run


async def nobody(turn: int) -> None:
    """What 32 tasks that wait for something cost by themselves."""

    async def caller(_: tuple[int]) -> None:
        await asyncio.sleep(0)

    await asyncio.gather(*(caller(entity) for entity in turn_of(turn)))


def redis_py(client: Any) -> Callable[[int], Awaitable[None]]:
    key, fields = feast_key_maker(FEAST), FeastCodec(FEAST).fields

    async def run(turn: int) -> None:
        pipe = client.pipeline(transaction=False)
        for entity in turn_of(turn):
            pipe.hmget(key(entity), fields)
        await pipe.execute()

    return run


async def fill(server: EmbeddedStore) -> None:
    now_us = time.time_ns() // 1000
    compact, feast = RowCodec(COMPACT), FeastCodec(FEAST)
    compact_key, feast_key = key_maker(COMPACT), feast_key_maker(FEAST)
    client: Any = Redis(unix_socket_path=str(server.socket))
    pipe = client.pipeline(transaction=False)
    for n in range(ENTITIES):
        values = [n + place / 10 for place in range(10)]
        pipe.set(compact_key((n,)), compact.encode(values, now_us))
        pipe.hset(feast_key((n,)), mapping=feast.encode(values, now_us))
    await pipe.execute()
    await client.aclose()


async def compare(feast_python: str | None) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        async with start_embedded(Path(folder) / "store") as server:
            costs = await measure(server)
            if feast_python is not None:
                done = await asyncio.to_thread(
                    subprocess.run,
                    [feast_python, "-P", str(FEAST_PEER), str(server.socket), str(TURN)],
                    capture_output=True,
                    check=True,
                    text=True,
                )
                costs[FEAST_CALL] = json.loads(done.stdout)
    return costs


def run(core: int, feast_python: str | None) -> dict[str, float]:
    """Name → CPU µs a row, measured in a fresh process on ``core``."""
    command = ["taskset", "-c", str(core), sys.executable, "-m", "loadtests.bench.features_cost", "--json"]
    if feast_python is not None:
        command += ["--feast", feast_python]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=300)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--feast", metavar="PYTHON", help="an interpreter that has feast[redis]")
    parser.add_argument("--json", action="store_true", help="for programs")
    given = parser.parse_args()
    costs = uvloop.run(compare(given.feast))
    if given.json:
        print(json.dumps(costs))
        return
    for name, cost in costs.items():
        print(f"{cost:9.2f} µs a row   {name}")


if __name__ == "__main__":
    main()

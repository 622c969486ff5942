"""Feature views in few words, and a store full of rows with a completer over it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from feature_cache.schema import Entity, Feature
from feature_cache.settings import StoreSettings
from feature_cache.store import FeatureStore
from feature_cache.writer import NewRow, Writer
from gateway.core.signature import Column, Kind, Signature
from gateway.core.tensor import BY_NAME
from gateway.features.assemble import Assembler
from gateway.features.bind import bind
from gateway.features.config import ViewFile
from gateway.features.lookup import Completer

__all__ = ["World", "column", "view", "world"]


def column(name: str, kind: Kind = Kind.FLOAT, datatype: str = "FP64", **more: Any) -> Column:
    return Column(name=name, kind=kind, datatype=BY_NAME[datatype], **more)


def view(name: str, entities: Mapping[str, str], features: Mapping[str, str | dict[str, Any]], **more: Any) -> ViewFile:
    """``features``: name → type, or what ``Feature`` takes."""
    return ViewFile(
        name=name,
        entities=tuple(Entity(name=each, type=kind) for each, kind in entities.items()),
        features=tuple(
            Feature(name=each, **({"type": facts} if isinstance(facts, str) else facts))
            for each, facts in features.items()
        ),
        **more,
    )


@dataclass(slots=True)
class World:
    """A completer of one model over a connected store."""

    store: FeatureStore
    completer: Completer
    assembler: Assembler
    client: Redis
    views: Mapping[str, ViewFile]

    async def write(self, view: str, rows: Sequence[NewRow]) -> None:
        await Writer(self.client, self.views[view]).write(rows)


@asynccontextmanager
async def world(
    url: str,
    model: Signature,
    features: Mapping[str, str],
    views: Sequence[ViewFile],
    *,
    max_rows: int = 2000,
    wall_clock: Any = None,
    **settings: Any,
) -> AsyncIterator[World]:
    by_name = {each.name: each for each in views}
    async with (
        Redis.from_url(url) as client,
        FeatureStore.open(StoreSettings(url=url, **({"timeout_ms": 5000.0} | settings)), views) as store,
    ):
        assembler = Assembler(model, max_rows)
        binding = bind("e/d", model, features, by_name)
        more = {} if wall_clock is None else {"wall_clock": wall_clock}
        yield World(store, Completer(binding, assembler, store, **more), assembler, client, by_name)

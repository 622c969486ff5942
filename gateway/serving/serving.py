"""
What one gateway process serves, and how it goes from one version of it to the next without losing a request.

A change has three steps. *Prepare* makes the next generation beside the one that serves: links to new workers, lanes,
mirrors, features; whatever does not fit is found here, and then nothing has changed. *Commit* installs it: a few
assignments in one turn of the loop, so every request sees all of the old version or all of the new. *Retire* answers
what the old version has accepted and then lets go of what nobody uses any more.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Mapping

import structlog

from gateway.auth.credentials import Credentials
from gateway.config import Config
from gateway.control.registry import Registry
from gateway.control.served import Served
from gateway.control.source import Conflict
from gateway.core.deadline import Clock
from gateway.core.errors import ConfigError, NotReady
from gateway.core.request import Answer, Deployment, Enriched
from gateway.core.service import Service
from gateway.dispatch.stage import Dispatch
from gateway.features.features import Features, FeatureSet
from gateway.features.handover import Handover
from gateway.features.stage import Complete
from gateway.limits.limits import Limits
from gateway.routing.rollout import Rollout
from gateway.routing.stage import Routing
from gateway.routing.table import RouteTable
from gateway.serving.generation import Generation
from gateway.serving.lane import Lane, LaneConfig
from gateway.serving.lines import Key, Lines
from gateway.serving.links import Links
from gateway.serving.retirement import REPLACED, Retirement

__all__ = ["Serving"]

log = structlog.get_logger()

_PREPARE = 30.0
"""Seconds in which links to workers that are ready must stand."""
_STOPPING = "the gateway is shutting down"


class Serving:
    """
    ``routing`` is the stage that requests enter, ``registry`` what is known of deployments, ``lines`` where their rows
    wait; ``credentials`` and ``limits`` are told of every change.

    The first generation is made at once and connects when ``run`` does. Raises ``ConfigError`` for what cannot be
    served.
    """

    def __init__(
        self,
        config: Config,
        served: Served,
        *,
        credentials: Credentials,
        limits: Limits,
        clock: Clock,
        draw: Callable[[], float],
    ) -> None:
        settings = config.settings
        self._drain = settings.drain_ms / 1000
        self._credentials, self._limits = credentials, limits
        self._links = Links(settings.pool)
        self.lines = Lines()
        self._inner: Service[Enriched, Answer] = limits.charge_rows(Dispatch(self.lines.of))
        self._tasks: asyncio.TaskGroup | None = None
        self._change = asyncio.Lock()
        self._is_closing = False
        self._failed: frozenset[Key] = frozenset()
        self._learnt = asyncio.Event()
        self._prepared: Generation | None = None
        self._retirement = Retirement(self._drain, self._close_unused)
        self.registry = Registry()
        self.features = Features(settings.features.with_url(os.environ), config.endpoints, config.views)
        self.rollout = Rollout(self._inner, deployment_of=self._loaded, line_of=self.lines.of, draw=draw, clock=clock)
        self._now = self._build(config, served, self.features.current, {})
        self._table = RouteTable(())
        self.routing = Routing(self._table, self._now.inner, clock=clock, draw=draw)
        limits.install(config.endpoints)
        self.rollout.install(self._now.mirrors)
        self._publish()

    # --- what is known ------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        return self._now.version

    @property
    def served(self) -> tuple[int, str]:
        """Version and content that serve now."""
        return self._now.version, self._now.content

    @property
    def prepared(self) -> int | None:
        """The version that waits to be committed."""
        return self._prepared.version if self._prepared is not None else None

    @property
    def draining(self) -> list[str]:
        """Addresses of workers that only requests of older versions still use."""
        used = {address for lane in self._now.lanes.values() for address in lane.config.addresses}
        return sorted({address for lane in self._retirement.lanes for address in lane.config.addresses} - used)

    @property
    def using(self) -> list[str]:
        """Addresses of all workers that may still be sent something."""
        return sorted({address for lane in self._all_lanes() for address in lane.config.addresses})

    def note_failed(self, deployments: Collection[Key]) -> None:
        """The workers of these, and of no others, could not load the model: their callers need not wait for it."""
        if (failed := frozenset(deployments)) != self._failed:
            self._failed = failed
            self._publish()

    # --- life ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the links to the workers and let go of what is replaced, until ``close`` or cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await self._links.run()
            finally:
                self._tasks = None

    async def close(self) -> None:
        """Give up what is with shadows, answer what was accepted, then let go of the workers."""
        self._is_closing = True
        self._learnt.set()
        async with self._change:
            await self._drop()
            await self.rollout.close()
            lanes = self._now.lanes.values()
            await asyncio.gather(*(lane.close(self._drain, _STOPPING) for lane in lanes), self.retired())
            self._links.close()

    # --- changes ------------------------------------------------------------------------------------------------

    async def prepare(self, config: Config, served: Served) -> None:
        """
        Make the next generation, up to the point where it could serve at once; ``config`` is what ``served`` says.

        Raises ``ConfigError`` for what cannot be served, and ``NotReady`` where workers or the feature store do not
        answer in time; then nothing has changed. What was prepared before is dropped.
        """
        async with self._change:
            await self._drop()
            if self._is_closing:
                raise NotReady(_STOPPING)
            self._credentials.check(config.modes)
            features = await self.features.prepare(config.endpoints, config.views)
            try:
                await asyncio.sleep(0)  # in a turn of the loop of its own: requests wait for the end of each
                self._prepared = following = self._build(config, served, features, self._now.lanes)
            except BaseException:
                self.features.discard(features)
                await self._close_unused()
                raise
            try:
                await asyncio.sleep(0)
                await self._settled(following)
            except BaseException:
                await self._drop()
                raise

    async def commit(self, version: int) -> None:
        """Serve by what was prepared. Raises ``Conflict`` when that is not this version."""
        async with self._change:
            following = self._prepared
            if following is not None and following.version == version:
                self._prepared = None
                self._switch(following)
                await asyncio.sleep(0)  # requests come before the answer to whoever asked for this
            elif self._now.version != version:
                raise Conflict(version, following.version if following is not None else self._now.version)

    async def abandon(self) -> None:
        """What was prepared is not going to serve."""
        async with self._change:
            await self._drop()

    async def retired(self) -> None:
        """Return when nothing of older versions is left."""
        await self._retirement.ended()

    def _switch(self, following: Generation) -> None:
        """All of it in one turn of the loop."""
        old, self._now = self._now, following
        self._credentials.install(following.config.modes)
        self._limits.install(following.config.endpoints)
        self.features.install(following.features)
        self.rollout.install(following.mirrors)
        self._publish()
        leaving = old.new_since(following)
        log.info("gateway.switched", version=following.version, replaced=len(leaving))
        self._retirement.begin(old, leaving, self._tasks)

    async def _drop(self) -> None:
        """The generation that was prepared has never served anybody."""
        dropped, self._prepared = self._prepared, None
        if dropped is not None:
            self.features.discard(dropped.features)
            await asyncio.gather(*(lane.close(0.0, REPLACED) for lane in dropped.new_since(self._now)))
            await self._close_unused()

    async def _close_unused(self) -> None:
        lanes = self._all_lanes()
        await self._links.keep({lane.config.addresses for lane in lanes})
        self.lines.keep({lane.config.key for lane in lanes})

    def _all_lanes(self) -> list[Lane]:
        """Of what serves, of what is prepared, and those that are being retired."""
        generations = (self._now,) if self._prepared is None else (self._now, self._prepared)
        return [*self._retirement.lanes, *(lane for each in generations for lane in each.lanes.values())]

    async def _settled(self, following: Generation) -> None:
        """Until all that has to serve is known to do so."""
        claims = following.claims_since(self._now)
        try:
            async with asyncio.timeout(_PREPARE):
                while not all(lane.is_settled for lane in claims):
                    if self._is_closing:
                        raise NotReady(_STOPPING)
                    self._learnt.clear()
                    await self._learnt.wait()
        except TimeoutError as error:
            late = next(lane for lane in claims if not lane.is_settled)
            raise NotReady(f"{late.name}: {late.state(0).reason} after {_PREPARE:.0f} s") from error
        for lane in (*claims, *following.new_since(self._now)):
            if lane.unfit:
                raise ConfigError(lane.name, lane.unfit)

    # --- building -----------------------------------------------------------------------------------------------

    def _build(self, config: Config, served: Served, features: FeatureSet, known: Mapping[Key, Lane]) -> Generation:
        wanted = {
            (endpoint.name, name): LaneConfig.of(config, endpoint, name, served)
            for endpoint in config.endpoints.values()
            for name in (endpoint.deployments if endpoint.loaded else ())
        }
        # All links first: what can be refused is refused before there is a lane.
        pools = {key: self._links.to("/".join(key), each.addresses) for key, each in wanted.items()}
        lanes = {
            key: known[key]
            if key in known and known[key].config == each
            else Lane(each, pools[key], self.lines, self._on_lane)
            for key, each in wanted.items()
        }
        stages: list[Complete] = []

        def complete(inner: Service[Enriched, Answer]) -> Complete:
            stages.append(Complete(inner, features.bindings))
            return stages[-1]

        handover = Handover(config.endpoints, features.bindings)
        return Generation(
            version=served.version,
            content=served.content,
            config=config,
            lanes=lanes,
            features=features,
            mirrors=self.rollout.prepare(config.endpoints, complete, handover, served.models),
            inner=complete(self._inner),
            stages=stages,
        )

    # --- what lanes learn ---------------------------------------------------------------------------------------

    def _on_lane(self) -> None:
        self._learnt.set()
        self._publish()

    def _publish(self) -> None:
        """Let everybody see what can be served now."""
        states = self._now.states({state.name: state for state in self.registry.endpoints()}, self._failed)
        self._table = RouteTable(states, self._now.mirrors.ways, self._table)
        self.routing.install(self._table, self._now.inner)
        self.registry.install(states)

    def _loaded(self, endpoint: str, name: str) -> Deployment | None:
        lane = self._now.lanes.get((endpoint, name))
        return lane.deployment if lane is not None else None

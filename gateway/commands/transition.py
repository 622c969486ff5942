"""
From what runs to what is wanted: one step after the other, and back out of all of them until the one that counts.

1. The document is checked, and planned against the groups that are there (``groups.plan_groups``).
2. New groups load, warm up and pass their sample, beside the old ones and behind everything that serves. So do those
   that go on, are not ready yet, and get traffic that they did not have: the server may just have been started.
3. Every gateway prepares: it links to the new workers and checks what only it can check.
4. ``run/served.json`` is written, whole and at once. **This rename is the change**: a gateway that starts from now on
   starts with the new version, and one that runs finds it. Whoever is killed before leaves the old version behind,
   whoever is killed after, the new one. The supervisor itself starts from its source, and all its children die with it.
5. The gateways are told to switch, and when no request is with the old groups any more they are drained and stopped.

Whatever fails in 1 to 3, or in writing the file, leaves what runs as it was. From 4 on nothing can fail any more; there
are only things that take longer.

What is superseded while it loads keeps those of its groups that the newer document wants as well. Otherwise a model
that takes a minute would never be loaded while somebody changes a weight twice a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import structlog

from gateway.commands.gateway_versions import CannotTell, GatewayVersions
from gateway.commands.groups import Group, GroupPlan, digests_by_path
from gateway.commands.running_groups import RunningGroups, Superseded
from gateway.config import Config, raw_settings
from gateway.control.disk import is_of_path
from gateway.control.document import Document, content_digest
from gateway.control.served import Served, write_served
from gateway.core.errors import ConfigError, GatewayError

__all__ = ["Follower", "Phase", "State", "Transition", "served_by"]

log = structlog.get_logger()

Phase: TypeAlias = Literal["starting", "preparing"]

_SPARE = 5.0
"""Seconds beyond what requests and lines in the gateways may take to let go of a group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What runs."""

    document: Document
    config: Config
    groups: tuple[Group, ...]


class Follower(Protocol):
    """Part of the supervisor that goes by what runs."""

    async def prepare(self, config: Config) -> None:
        """Make ready what can be, such that it harms nobody if nothing comes of it. Raises ``ConfigError``."""

    def install(self, config: Config) -> None:
        """This runs now: the gateways have been told to switch."""


def served_by(document: Document, config: Config, plan: GroupPlan) -> Served:
    """What gateways are told of a document and of the groups that run it."""
    return Served(
        version=document.version,
        content=content_digest(document),
        endpoints=document.endpoints,
        views=document.views,
        models=digests_by_path(document.models),
        plan=plan.addresses,
        settings=raw_settings(config.settings),
    )


class Transition:
    """
    The steps; ``run`` them for one document at a time.

    ``compose`` turns a document into a checked configuration and is called in a thread; ``plan`` is
    ``plan_groups`` with everything that the machine has to say; ``told`` hears of each phase, ``changed`` of old groups
    that are gone.
    """

    def __init__(
        self,
        *,
        compose: Callable[[Document], Config],
        plan: Callable[[Sequence[Group], Config, Mapping[str, str]], GroupPlan],
        groups: RunningGroups,
        gateways: GatewayVersions,
        file: Path,
        followers: Iterable[Follower],
        told: Callable[[Phase], None],
        changed: Callable[[], None],
    ) -> None:
        self._compose, self._plan, self._groups, self._gateways = compose, plan, groups, gateways
        self._file, self._followers, self._told, self._changed = file, tuple(followers), told, changed
        self._loading: list[Group] = []
        self._claimed: list[Group] = []
        """Groups that go on, of which more is wanted than now."""
        self._leaving: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()

    @property
    def waiting_for(self) -> list[str]:
        """Deployments that are not loaded yet."""
        return self._groups.waiting([*self._loading, *self._claimed])

    @property
    def is_draining(self) -> bool:
        """Whether there are groups that nobody needs any more."""
        return bool(self._leaving)

    async def run(
        self, running: State, document: Document, is_wanted: Callable[[], bool], tasks: asyncio.TaskGroup
    ) -> tuple[State, GroupPlan]:
        """
        What runs then, and what was done for it; old groups leave as one of ``tasks``.

        Raises ``GatewayError`` for what cannot run, and ``Superseded`` where ``is_wanted`` says no before everything
        is loaded and the followers are prepared. Then what ran before goes on.
        """
        try:
            config, plan = await self._load(running, document, is_wanted)
            self._told("preparing")
            await self._follow(config, is_wanted)
            await self._prepare(served_by(document, config, plan))
        except (Superseded, CannotTell):  # what has loaded may be of use yet
            raise
        except GatewayError:
            self.give_up(tasks)
            raise
        # Nothing of what follows may raise, or be undone.
        self._loading.clear()
        state = State(document=document, config=config, groups=(*plan.keep, *plan.start))
        await self._gateways.commit(document.version)
        for follower in self._followers:  # behind the gateways: what the old version reads is left alone until then
            follower.install(config)
        leaving = [group for group in running.groups if group not in state.groups]
        if leaving:
            self._let(tasks, self._leave(leaving, running.config))
        return state, plan

    def wake(self) -> None:
        """There may be something newer."""
        self._woken.set()
        self._groups.note()

    def give_up(self, tasks: asyncio.TaskGroup) -> None:
        """Nobody wants what is loading any more."""
        if self._loading:
            groups, self._loading = self._loading, []
            self._let(tasks, self._groups.stop(groups))

    async def _load(
        self, running: State, document: Document, is_wanted: Callable[[], bool]
    ) -> tuple[Config, GroupPlan]:
        self._claimed = []
        self._told("starting")
        try:
            config = await asyncio.to_thread(self._compose, document)
        except OSError as error:  # a path that may not be looked at, or is too long for the file system
            if not is_of_path(error):
                # asyncio makes a TimeoutError of a thread anew, without the path.
                raise CannotTell(f"{error.filename or 'a file'} cannot be read: {error.strerror}") from error
            raise ConfigError(str(error.filename), f"cannot be read: {error.strerror}") from error
        plan = self._plan([*running.groups, *self._loading], config, document.models)
        useless = [group for group in self._loading if group not in plan.keep]
        self._loading = [group for group in self._loading if group in plan.keep]
        await self._groups.stop(useless)
        if plan.start and self._leaving:
            await asyncio.wait(self._leaving)  # bounded; else quick changes would pile up models in memory
        for group in plan.start:
            self._groups.start(group, is_gentle=True)
            self._loading.append(group)
        self._claimed = [
            group
            for group in plan.keep
            if group not in self._loading and _weight(config, group) > _weight(running.config, group)
        ]
        self._told("starting")
        seconds = config.settings.pool.load_timeout_ms / 1000
        await self._groups.until_ready(self._loading, seconds, is_wanted, self._claimed)
        return config, plan

    async def _follow(self, config: Config, is_wanted: Callable[[], bool]) -> None:
        """A follower may load as much as a group does: it has as long, and is broken off for something newer too."""
        seconds = config.settings.pool.load_timeout_ms / 1000
        for follower in self._followers:
            preparing = asyncio.create_task(follower.prepare(config), name="prepare")
            try:
                async with asyncio.timeout(seconds):
                    await self._until_done(preparing, is_wanted)
            except TimeoutError as error:
                raise ConfigError("features", f"not loaded after {seconds:g} s") from error
            finally:
                preparing.cancel()
                await asyncio.wait([preparing])
            preparing.result()

    async def _until_done(self, task: asyncio.Task[None], is_wanted: Callable[[], bool]) -> None:
        while not task.done():
            self._woken.clear()
            if not is_wanted():
                raise Superseded("something newer is wanted")
            woken = asyncio.create_task(self._woken.wait(), name="something newer")
            try:
                await asyncio.wait([task, woken], return_when=asyncio.FIRST_COMPLETED)
            finally:
                woken.cancel()

    async def _prepare(self, served: Served) -> None:
        try:
            await self._gateways.prepare(served)
            await asyncio.to_thread(write_served, self._file, served)
        except OSError as error:
            await self._gateways.abandon()
            raise ConfigError(str(self._file), f"cannot be written: {error.strerror}") from error
        except GatewayError:
            await self._gateways.abandon()
            raise

    def _let(self, tasks: asyncio.TaskGroup, leave: Coroutine[None, None, None]) -> None:
        leaving = tasks.create_task(leave, name="leaving groups")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._gone)

    def _gone(self, leaving: asyncio.Task[None]) -> None:
        self._leaving.discard(leaving)
        self._changed()

    async def _leave(self, groups: Sequence[Group], config: Config) -> None:
        addresses = {address for group in groups for address in group.addresses}
        # A gateway lets every request have its time.
        times = [config.settings.drain_ms, *(each.request_timeout_ms for each in config.endpoints.values())]
        # Twice: a gateway may wait for the feature store with a request, and then for its line.
        await self._gateways.until_unused(addresses, 2 * max(times) / 1000 + _SPARE)
        await self._groups.stop(groups)
        log.info("control.stopped", groups=[group.name for group in groups])


def _weight(config: Config, group: Group) -> int:
    """Percent of its endpoint's traffic."""
    endpoint = config.endpoints.get(group.endpoint)
    return endpoint.weight(group.deployment) if endpoint and group.deployment in endpoint.deployments else 0

"""
Makes the desired state real: reads the newest document from its source, and takes the machine there.

One transition at a time (``transition``), always to the newest document there is: one that arrives while models load
supersedes the one they load for. A document that cannot run is refused whole, its reason kept and told once; it is not
tried again until its content or its version is another one. Only where gateways, or a disk, could not say
at the moment, which is nothing against the document, it is not refused but tried again by itself; and where files of
models are missing, when the source tells of a change.

While the source does not answer, what runs goes on; likewise while it gives something that is no document (a broken
file), which is told as its problem: no version has been refused by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from gateway.commands.gateway_versions import CannotTell, GatewayVersions
from gateway.commands.running_groups import Superseded
from gateway.commands.transition import Phase, State, Transition
from gateway.control.document import Document, content_digest
from gateway.control.model_files import FilesMissing
from gateway.control.progress import Progress, Refused
from gateway.control.source import Source, SourceUnavailable
from gateway.core.errors import ConfigError, GatewayError

__all__ = ["Convergence"]

log = structlog.get_logger()

_TELL = 60.0
"""Seconds after which it is told once more that a version still waits for gateways."""
_AGAIN = 1.0
"""Seconds before a source that did not answer is asked again, and before gateways that did not are."""


class Convergence:
    """
    Implements ``gateway.control.progress.Running``. ``running`` is what was started; ``needs_restart`` tells settings
    that changed and are read at the start only; ``wall_clock`` is for people, ``clock`` for durations.
    """

    def __init__(
        self,
        source: Source,
        running: State,
        transition: Transition,
        gateways: GatewayVersions,
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        needs_restart: Callable[[], Sequence[str]] = tuple,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._source, self._transition, self._gateways = source, transition, gateways
        self._clock, self._wall_clock, self._needs_restart, self._pause = clock, wall_clock, needs_restart, pause
        self.running = running
        self._wanted = running.document
        self._refused: Refused | None = None
        self._refused_content = ""
        self._waits: Document | None = None
        """What gateways, or a disk, could not say anything about yet."""
        self._waits_why, self._waits_told = "", 0.0
        self._problem = ""
        """Why the source gives no document."""
        self._phase: Phase | None = None
        self._since = wall_clock()
        self._news, self._moved = asyncio.Event(), asyncio.Event()

    @property
    def progress(self) -> Progress:
        return Progress(
            running=self.running.document.version,
            wanted=self._wanted.version,
            phase=self._phase or ("draining" if self._transition.is_draining else "settled"),
            refused=self._refused,
            problem=self._problem or self._waits_why,
            gateways=dict(self._gateways.known),
            needs_restart=tuple(self._needs_restart()),
        )

    def status(self) -> dict[str, Any]:
        """The same with more of it, as JSON values."""
        entry, reason = self._wanted.entry, self._problem or self._waits_why
        if not reason and self._refused:
            reason = self._refused.reason
        return {
            "desired": {"version": entry.version, "at": entry.at, "by": entry.by, "what": entry.what},
            "running": self.running.document.version,
            "phase": self.progress.phase,
            "reason": reason,
            "since": self._since,
            "waiting_for": self._transition.waiting_for if self._phase == "starting" else [],
            "gateways": dict(self._gateways.known),
            "needs_restart": list(self._needs_restart()),
        }

    async def moved(self) -> None:
        """Return when ``progress`` is another one than at the call."""
        await self._moved.wait()

    def note(self) -> None:
        """Something that ``progress`` tells has changed."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def told(self, phase: Phase | None) -> None:
        """A transition has come to this phase; None: it is over."""
        if phase != self._phase:
            self._phase, self._since = phase, self._wall_clock()
        self.note()

    async def run(self) -> None:
        """Follow the source until cancelled. What is under way then is the supervisor's to stop."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._gateways.run(), name="gateways' versions")
            tasks.create_task(self._follow(), name="desired state")
            while True:
                await self._news.wait()
                self._news.clear()
                await self._step(self._wanted, tasks)

    async def _step(self, document: Document, tasks: asyncio.TaskGroup) -> None:
        """Towards one document, as far as there is anything to do and nothing newer comes."""
        content = content_digest(document)
        if (document.version, content) == (self.running.document.version, content_digest(self.running.document)):
            self._transition.give_up(tasks)
            self._refused = None
            self._wait_no_more()
        elif not (self._refused and (document.version, content) == (self._refused.version, self._refused_content)):
            await self._attempt(document, content, tasks)
        if self._wanted is document:
            self.told(None)

    async def _attempt(self, document: Document, content: str, tasks: asyncio.TaskGroup) -> None:
        started = self._clock()
        if document is not self._waits:
            self._wait_no_more()
            log.info("control.converging", version=document.version, by=document.entry.by, what=document.entry.what)
        try:
            self.running, plan = await self._transition.run(
                self.running, document, lambda: self._wanted is document, tasks
            )
        except Superseded:
            log.info("control.superseded", version=document.version)
        except CannotTell as error:
            self._wait(document, str(error))
            tasks.create_task(self._try_again(), name="try again")
        except FilesMissing as error:
            self._refuse(document, "", error)  # and again when the source tells that files have changed
        except GatewayError as error:
            self._refuse(document, content, error)
        else:
            self._refused = None
            self._wait_no_more()
            log.info(
                "control.converged",
                version=document.version,
                seconds=round(self._clock() - started, 3),
                started=[group.name for group in plan.start],
                stopped=[group.name for group in plan.stop],
            )

    def _wait(self, document: Document, why: str) -> None:
        if self._waits is None or self._clock() - self._waits_told >= _TELL:
            log.warning("control.waiting", version=document.version, reason=why)
            self._waits_told = self._clock()
        self._waits, self._waits_why = document, why
        if self._refused and self._refused.version == document.version:
            self._refused = None  # it was for something else that has been mended

    def _wait_no_more(self) -> None:
        self._waits, self._waits_why = None, ""

    def _refuse(self, document: Document, content: str, error: GatewayError) -> None:
        self._wait_no_more()
        if self._refused is None or (document.version, str(error)) != (self._refused.version, self._refused.reason):
            log.error("control.refused", version=document.version, by=document.entry.by, reason=str(error))
        self._refused, self._refused_content = Refused(version=document.version, reason=str(error)), content

    async def _try_again(self) -> None:
        await self._pause(_AGAIN)
        self._news.set()

    async def _follow(self) -> None:
        """Keep what is newest, and tell once of everything that keeps us from knowing it."""
        silent = ""
        while True:
            try:
                document = await self._source.read()
            except SourceUnavailable as error:
                if str(error) != silent:
                    silent = str(error)
                    log.warning("control.source_unavailable", reason=silent)
                await self._pause(_AGAIN)
                continue
            except ConfigError as error:
                self._unreadable(str(error))
            else:
                self._unreadable("")
                self._offer(document)
            silent = ""
            await self._source.changed()

    def _unreadable(self, problem: str) -> None:
        if problem != self._problem:
            self._problem, self._since = problem, self._wall_clock()
            if problem:
                log.error("control.unreadable", reason=problem)
            self.note()

    def _offer(self, document: Document) -> None:
        if document.version != self._wanted.version or content_digest(document) != content_digest(self._wanted):
            self._wanted = document
            self._news.set()
            self._transition.wake()
            self.note()
        elif self._refused is not None and not self._refused_content:
            self._news.set()

"""
The features stage: from here on a request's rows are complete and typed as the model wants them.

The body is decoded here, and not before, because only a known caller is worth the work, and because its types follow
from the signature of the deployment that was chosen. What depends on the deployment alone is decided once for each:
one that takes nothing from a feature store has a way on which nobody asks for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from time import perf_counter_ns
from typing import TypeAlias

from gateway.core.request import Answer, Deployment, Enriched, Routed
from gateway.core.rows import Rows
from gateway.core.service import Service, function_of
from gateway.features.assemble import Assembler
from gateway.features.bindings import Bindings
from gateway.features.lookup import Completer

__all__ = ["Complete"]

Serve: TypeAlias = Callable[[Routed], Awaitable[Answer]]


class Complete:
    """Makes the rows; ``bindings`` completes them where a deployment takes features from a store."""

    def __init__(self, inner: Service[Enriched, Answer], bindings: Bindings | None = None) -> None:
        self._inner, self._bindings = function_of(inner), bindings
        self._made: dict[Deployment, Serve] = {}
        self._reading = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def __call__(self, request: Routed, /) -> Awaitable[Answer]:
        return self.of(request.deployment)(request)

    def of(self, deployment: Deployment) -> Serve:
        """This stage for the requests of one deployment."""
        return self._made.get(deployment) or self._make(deployment)

    async def idle(self) -> None:
        """
        Return when nothing waits for the store any more; for a stage that gets no further requests.

        Nowhere else does a request wait between the choice of a deployment and its place in line there: a deployment
        that was replaced can be closed then.
        """
        await self._is_idle.wait()

    def _make(self, deployment: Deployment) -> Serve:
        """Once per deployment. One that it replaces is forgotten, and made again should a request still need it."""
        key = deployment.endpoint, deployment.name
        for other in [each for each in self._made if (each.endpoint, each.name) == key]:
            del self._made[other]
        assembler = Assembler(deployment.model_signature or deployment.signature, deployment.max_queue_rows)
        completer = self._bindings.completer(deployment, assembler) if self._bindings is not None else None
        made = self._alone(deployment, assembler) if completer is None else self._with_store(deployment, completer)
        self._made[deployment] = made
        return made

    def _alone(self, deployment: Deployment, assembler: Assembler) -> Serve:
        """Of a deployment whose callers send all that it needs."""
        inner, assemble = self._inner, assembler.__call__

        def complete(request: Routed, /) -> Awaitable[Answer]:
            received = request.received
            rows = assemble(received.read())
            received.timeline.features = perf_counter_ns()
            return inner(Enriched(received, request.principal, deployment, request.deadline, rows))

        return complete

    def _with_store(self, deployment: Deployment, completer: Completer) -> Serve:
        inner, at_once = self._inner, completer.at_once

        def complete(request: Routed, /) -> Awaitable[Answer]:
            received = request.received
            payload = received.read()
            rows = at_once(payload)
            if rows is None:
                return self._after(completer(payload, request.deadline), request)
            received.timeline.features = perf_counter_ns()
            return inner(Enriched(received, request.principal, deployment, request.deadline, rows))

        return complete

    async def _after(self, completing: Coroutine[None, None, Rows], request: Routed) -> Answer:
        """Once the store has answered."""
        self._reading += 1
        self._is_idle.clear()
        try:
            rows = await completing
        finally:
            self._reading -= 1
            if not self._reading:
                self._is_idle.set()
        received = request.received
        received.timeline.features = perf_counter_ns()
        return await self._inner(Enriched(received, request.principal, request.deployment, request.deadline, rows))

"""
Told once about every request that ended, by whichever edge answered it.

A request that went well costs a dict lookup and an append; it is counted in bulk later. A request that
failed is also logged, one event each, up to a number per second and kind of error: beyond it events are only counted,
and the next one that is written says how many were not. Otherwise refusing work at three times the capacity would cost
more than doing it.

Figures belong to names: a deployment that is replaced by another one of its name goes on with them. Names that are gone
keep theirs for a while, but not for ever, because there is no end of names in a process that is never restarted.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns

import structlog

from gateway.core.catalog import Catalog
from gateway.core.errors import GatewayError, ModelFailed, NotFound, NotReady, Overloaded, WorkerFailed
from gateway.core.request import Deployment, Received
from gateway.telemetry.names import REQUEST_FAILED
from gateway.telemetry.record import FailedRequest
from gateway.telemetry.series import Series

__all__ = ["Recorder"]

log = structlog.get_logger()

_Key = tuple[Deployment, str, int | str]
"""With protocol and status."""

_OURS = (ModelFailed, NotReady, WorkerFailed)
"""Nothing that the caller could have done better."""
_INTERNED = 4096
_GONE = 50
"""Deployments that are not there any more and whose figures are still told, so that whoever collects them sees the last
ones. When more have gone, the figures of those that went first are forgotten."""
_IN_BULK = 128
"""Requests; counting as many takes about 100 µs, which is not felt between two requests."""


class Recorder:
    """Keeps the figures of one gateway process; ``gateway.telemetry.metrics`` writes them out."""

    def __init__(self, catalog: Catalog, clock: Callable[[], float], events_per_second: int = 20) -> None:
        self._catalog, self._clock, self._limit = catalog, clock, events_per_second
        self.series: dict[tuple[str, str, str, str], Series] = {}
        """By endpoint, deployment, protocol and status."""
        self.errors: dict[tuple[str, str, str, str], int] = {}
        """By endpoint, deployment, protocol and class of error."""
        self.refused: dict[tuple[str, str], int] = {}
        """By endpoint and protocol: turned away before any work was done."""
        self._interned = _Interned(self._intern)
        self._latest: dict[tuple[str, str], tuple[Deployment, list[_Key]]] = {}
        """Endpoint and deployment → who serves under these names, and where it is interned."""
        self._names_seen: dict[tuple[str, str], None] = {}
        self._names_gone: dict[tuple[str, str], None] = {}
        """Those of them that are not there any more, in the order in which that was noticed."""
        self._events: dict[str, tuple[float, int, int]] = {}
        """Class of error → start of its second, events written in it, events left out."""

    def on_done(self, received: Received | None, status: int | str, error: GatewayError | None) -> None:
        """A request ended with ``status`` of its wire. ``received`` is None where it was not a scoring request."""
        if received is None:
            self._series_of(None, status).add_untimed()
        else:
            deployment = received.routed
            if deployment is None:
                series = self._series_of(received, status)
            else:
                series = self._interned[deployment, received.protocol, status]
            timeline, noted = received.timeline, series.noted
            if not timeline.answer:
                timeline.done = perf_counter_ns()
            noted.append(timeline)
            if len(noted) >= _IN_BULK:
                series.settle()
        if error is not None:
            self._failed(received, status, error)

    def _series_of(self, received: Received | None, status: int | str) -> Series:
        endpoint, deployment = self._names(received)
        return self._at((endpoint, deployment, received.protocol if received else "", str(status)))

    def _intern(self, key: _Key) -> Series:
        deployment, protocol, status = key
        names = deployment.endpoint, deployment.name
        latest, keys = self._latest.get(names, (None, []))
        if latest is not deployment:  # the one before it has been replaced
            for old in keys:
                self._interned.pop(old, None)
            _, keys = self._latest[names] = deployment, []
        if len(self._interned) >= _INTERNED:
            self._interned.clear()
        series = self._interned[key] = self._at((*names, protocol, str(status)))
        keys.append(key)
        return series

    def _at(self, key: tuple[str, str, str, str]) -> Series:
        series = self.series.get(key)
        if series is None:
            names = key[0], key[1]
            if names not in self._names_seen:
                self._names_seen[names] = None
                self._forget_some()
            series = self.series[key] = Series()
        return series

    def _forget_some(self) -> None:
        """Called when a name is new: only then can there be too many."""
        there = {("", "")}
        for endpoint in self._catalog.endpoints():
            there.update((endpoint.name, deployment) for deployment in ("", *endpoint.deployments))
        for names in self._names_seen:
            if names in there:
                self._names_gone.pop(names, None)
            else:
                self._names_gone.setdefault(names)
        gone = set(list(self._names_gone)[:-_GONE])
        if not gone:
            return
        for names in gone:
            del self._names_gone[names], self._names_seen[names]
            self._latest.pop(names, None)
        self.series = {key: series for key, series in self.series.items() if key[:2] not in gone}
        self.errors = {key: times for key, times in self.errors.items() if key[:2] not in gone}
        endpoints = {endpoint for endpoint, _ in self._names_seen}
        self.refused = {key: times for key, times in self.refused.items() if key[0] in endpoints}
        self._interned.clear()

    def _names(self, received: Received | None) -> tuple[str, str]:
        """Names that exist: what a client made up must not become a label, of which there would be no end."""
        if received is None:
            return "", ""
        if received.routed is not None:
            return received.routed.endpoint, received.routed.name
        try:
            endpoint = self._catalog.endpoint(received.endpoint)
        except NotFound:
            return "", ""
        pinned = received.deployment or ""
        return endpoint.name, pinned if pinned in endpoint.deployments else ""

    def _failed(self, received: Received | None, status: int | str, error: GatewayError) -> None:
        endpoint, deployment = self._names(received)
        protocol = received.protocol if received else ""
        kind = type(error).__name__
        key = (endpoint, deployment, protocol, kind)
        self.errors[key] = self.errors.get(key, 0) + 1
        if isinstance(error, Overloaded):
            self.refused[endpoint, protocol] = self.refused.get((endpoint, protocol), 0) + 1
        now = self._clock()
        since, written, left_out = self._events.get(kind, (now, 0, 0))
        if now - since >= 1.0:
            since, written = now, 0
        if written >= self._limit:
            self._events[kind] = since, written, left_out + 1
            return
        self._events[kind] = since, written + 1, 0
        facts = FailedRequest.of(received, str(status), error, endpoint, deployment).fields()
        if left_out:
            facts["not_logged"] = left_out
        is_ours = isinstance(error, _OURS) or type(error) is GatewayError
        (log.warning if is_ours else log.info)(REQUEST_FAILED, **facts)


class _Interned(dict[_Key, Series]):
    """Finds what is not there."""

    def __init__(self, find: Callable[[_Key], Series]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, key: _Key) -> Series:
        return self._find(key)

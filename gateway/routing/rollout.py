"""
Split and mirror of all endpoints, put together from their configuration: what the composition root needs of both.

An endpoint without key and mirror has no part in this, and pays for none of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from gateway.control.endpoints import EndpointConfig
from gateway.core.deadline import Clock
from gateway.core.errors import NotFound
from gateway.core.request import Answer, Deployment, Enriched, Routed
from gateway.core.service import Service
from gateway.routing.compare import Comparer
from gateway.routing.mirror import Line, Mirror, Mirrored, Prepare
from gateway.routing.report import MirrorState
from gateway.routing.sticky import key_of
from gateway.routing.table import Way
from gateway.routing.tally import Tolerance
from gateway.telemetry import names
from gateway.telemetry.exposition import Exposition

__all__ = ["Rollout"]

_LABELS = ("endpoint", "deployment")


class Rollout:
    """
    ``inner`` answers rows that are complete, ``complete`` puts the stage before such a one; ``deployment_of`` gives
    what has been loaded under a name, and ``line_of`` where its rows wait.
    """

    def __init__(
        self,
        endpoints: Mapping[str, EndpointConfig],
        inner: Service[Enriched, Answer],
        complete: Callable[[Service[Enriched, Answer]], Service[Routed, Answer]],
        *,
        deployment_of: Callable[[str, str], Deployment | None],
        line_of: Callable[[Deployment], Line],
        prepare: Prepare,
        draw: Callable[[], float],
        clock: Clock,
    ) -> None:
        self._configs = endpoints
        self._mirrors: dict[str, Mirror] = {}
        self.ways: dict[str, Way] = {}
        """For the table of routes: the endpoints that differ."""
        for name, config in endpoints.items():
            serve: Service[Routed, Answer] | None = None
            if config.shadows:
                mirror = self._mirrors[name] = Mirror(
                    name,
                    config.shadows,
                    max_rows=config.mirror_max_rows,
                    replay_percent=config.compare.replay_percent,
                    keep_inputs=config.compare.keep_inputs and config.compare.worst_rows > 0,
                    deployment_of=deployment_of,
                    line_of=line_of,
                    prepare=prepare,
                    comparer=partial(Comparer, tolerance=_tolerance(config), worst_rows=config.compare.worst_rows),
                    draw=draw,
                    clock=clock,
                )
                serve = complete(Mirrored(mirror, inner, clock))
            key = key_of(config.sticky) if config.sticky is not None else None
            if key is not None or serve is not None:
                self.ways[name] = Way(key=key, serve=serve)

    def is_shadow(self, endpoint: str, deployment: str) -> bool:
        """Whether a mirror sends it anything: such a deployment is never asked twice."""
        config = self._configs.get(endpoint)
        return config is not None and deployment in config.shadows

    def state(self, endpoint: str) -> MirrorState:
        """What this process has compared. Raises ``NotFound``."""
        config = self._configs.get(endpoint)
        if config is None:
            raise NotFound(f'no endpoint "{endpoint[:64]}" here')
        found = MirrorState(endpoint, _tolerance(config), config.compare.worst_rows)
        mirror = self._mirrors.get(endpoint)
        if mirror is not None:
            found.shadows = list(mirror.counts)
            found.comparisons = [comparer.state for comparer in mirror.comparers.values()]
        return found

    def write(self, out: Exposition) -> None:
        """The figures of all mirrors; nothing without one."""
        if not self._mirrors:
            return
        counts = [(name, each) for name, mirror in self._mirrors.items() for each in mirror.counts]
        out.counter(
            names.MIRRORED,
            "Requests that a shadow was sent too.",
            _LABELS,
            [((name, each.shadow), each.mirrored) for name, each in counts],
        )
        out.counter(
            names.MIRROR_DROPPED,
            "Requests that a shadow was not sent for lack of room.",
            (*_LABELS, "reason"),
            [((name, each.shadow, reason), n) for name, each in counts for reason, n in each.dropped.items()],
        )
        out.counter(
            names.MIRROR_FAILED,
            "Requests that a shadow did not answer well.",
            (*_LABELS, "error"),
            [((name, each.shadow, error), n) for name, each in counts for error, n in each.failed.items()],
        )
        pairs = [
            ((name, one.primary, one.shadow), one)
            for name, mirror in self._mirrors.items()
            for one in (comparer.state for comparer in mirror.comparers.values())
        ]
        columns = [((*key, column), tally) for key, one in pairs for column, tally in one.columns.items()]
        labels = ("endpoint", "primary", "deployment")
        out.counter(
            names.COMPARED_ROWS,
            "Rows that two deployments answered; a primary beside itself was asked twice.",
            labels,
            [(key, one.rows) for key, one in pairs],
        )
        out.counter(
            names.AGREEING_ROWS,
            "Those of them on which both agree.",
            labels,
            [(key, one.agreeing) for key, one in pairs],
        )
        out.counter(
            names.DISAGREEING_VALUES,
            "Rows on which both disagree, by output column.",
            (*labels, "column"),
            [(key, tally.rows - tally.agreeing) for key, tally in columns],
        )

    async def close(self) -> None:
        """Give up what is with shadows."""
        await asyncio.gather(*(mirror.close() for mirror in self._mirrors.values()))


def _tolerance(config: EndpointConfig) -> Tolerance:
    return Tolerance(config.compare.absolute, config.compare.relative)

"""
Split and mirror of all endpoints, put together from their configuration: what the composition root needs of both.

An endpoint without key and mirror has no part in this, and pays for none of it. Another configuration is planned first,
which changes nothing, and installed then; what a mirror has counted and compared stays as long as it is about the same
models.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.control.endpoints import EndpointConfig
from gateway.core.deadline import Clock
from gateway.core.errors import NotFound
from gateway.core.request import Answer, Deployment, Enriched, Routed
from gateway.core.service import Service
from gateway.routing.company import LINGER
from gateway.routing.comparisons import Judging
from gateway.routing.flight import Line, Prepare
from gateway.routing.mirror import Mirror, MirrorSettings
from gateway.routing.mirrored import Mirrored
from gateway.routing.report import MirrorState
from gateway.routing.sticky import key_of
from gateway.routing.table import Way
from gateway.routing.tally import Tolerance
from gateway.telemetry import names
from gateway.telemetry.exposition import Exposition

__all__ = ["Rollout", "RolloutPlan"]

_LABELS = ("endpoint", "deployment")


@dataclass(frozen=True, slots=True, eq=False)
class RolloutPlan:
    """What one configuration makes of it; nothing has happened yet."""

    ways: Mapping[str, Way]
    """For the table of routes: the endpoints that differ."""
    endpoints: Mapping[str, EndpointConfig]
    mirrors: Mapping[str, tuple[Mirror, MirrorSettings]]
    """By endpoint. A mirror that there is already stays, with what it has counted."""


class Rollout:
    """
    ``inner`` answers rows that are complete; ``deployment_of`` gives what serves under a name now, or None, and
    ``line_of`` where its rows wait; ``linger`` is how long requests for shadows wait for company. Nothing is served
    before the first ``install``.
    """

    def __init__(
        self,
        inner: Service[Enriched, Answer],
        *,
        deployment_of: Callable[[str, str], Deployment | None],
        line_of: Callable[[Deployment], Line],
        draw: Callable[[], float],
        clock: Clock,
        linger: float = LINGER,
    ) -> None:
        self._inner, self._deployment_of, self._line_of = inner, deployment_of, line_of
        self._draw, self._clock, self._linger = draw, clock, linger
        self._configs: Mapping[str, EndpointConfig] = {}
        self._mirrors: dict[str, Mirror] = {}
        self._leaving: list[Mirror] = []

    def prepare(
        self,
        endpoints: Mapping[str, EndpointConfig],
        complete: Callable[[Service[Enriched, Answer]], Service[Routed, Answer]],
        handover: Prepare,
        models: Mapping[str, str] | None = None,
    ) -> RolloutPlan:
        """
        ``complete`` puts the features stage of this configuration before another one, ``handover`` makes the rows of
        its shadows, and ``models`` gives the digest of a model's files by its path, as its deployments have it.
        """
        ways: dict[str, Way] = {}
        mirrors: dict[str, tuple[Mirror, MirrorSettings]] = {}
        for name, config in endpoints.items():
            mirror, serve = self._mirrors.get(name), None
            if mirror is not None or config.shadows:
                settings = _settings(config, models or {}, handover)
                mirror = mirror or self._mirror(name, settings)
                mirrors[name] = mirror, settings
                if config.shadows:
                    serve = complete(Mirrored(mirror, self._inner, self._clock))
            key = key_of(config.sticky) if config.sticky is not None else None
            if key is not None or serve is not None:
                ways[name] = Way(key=key, serve=serve)
        return RolloutPlan(ways, endpoints, mirrors)

    def install(self, plan: RolloutPlan) -> None:
        """
        Serve by it from now on; ``deployment_of`` must give the new deployments by then.

        Mirrors of endpoints that are gone give up what is with their shadows.
        """
        gone = [mirror for name, mirror in self._mirrors.items() if name not in plan.mirrors]
        self._configs = plan.endpoints
        self._mirrors = {name: mirror for name, (mirror, _) in plan.mirrors.items()}
        for mirror in gone:
            mirror.stop()
        self._leaving = [mirror for mirror in (*self._leaving, *gone) if not mirror.has_ended]
        for mirror, settings in plan.mirrors.values():
            mirror.install(settings)

    def state(self, endpoint: str) -> MirrorState:
        """What this process has compared. Raises ``NotFound``."""
        config = self._configs.get(endpoint)
        if config is None:
            raise NotFound(f'no endpoint "{endpoint[:64]}" here')
        found = MirrorState(endpoint, _tolerance(config), config.compare.worst_rows)
        mirror = self._mirrors.get(endpoint)
        if mirror is not None:
            found.shadows, found.comparisons = mirror.counts, mirror.states
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
            ((name, one.primary, one.shadow), one) for name, mirror in self._mirrors.items() for one in mirror.states
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
        await asyncio.gather(*(mirror.close() for mirror in (*self._mirrors.values(), *self._leaving)))

    def _mirror(self, endpoint: str, settings: MirrorSettings) -> Mirror:
        return Mirror(
            endpoint,
            settings,
            deployment_of=self._deployment_of,
            line_of=self._line_of,
            draw=self._draw,
            clock=self._clock,
            linger=self._linger,
        )


def _settings(config: EndpointConfig, models: Mapping[str, str], handover: Prepare) -> MirrorSettings:
    return MirrorSettings(
        shadows=config.shadows,
        models={name: models.get(str(each.model), "") for name, each in config.deployments.items()},
        max_rows=config.mirror_max_rows,
        replay_percent=config.compare.replay_percent,
        judging=Judging(
            tolerance=_tolerance(config),
            worst_rows=config.compare.worst_rows,
            keep_inputs=config.compare.keep_inputs and config.compare.worst_rows > 0,
        ),
        prepare=handover,
    )


def _tolerance(config: EndpointConfig) -> Tolerance:
    return Tolerance(config.compare.absolute, config.compare.relative)

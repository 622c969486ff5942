"""
All processes of one machine, asked and answered for as one.

Each gateway process serves the admin API on a Unix socket of its own; this merges what they say with what the
supervisor knows of every process. A gateway that does not answer in time counts as one that is not ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from gateway.commands.admin_socket import ask
from gateway.control.admin_api import Readiness
from gateway.telemetry import names
from gateway.telemetry.merge import merge_metrics
from workers.child import ChildState

__all__ = ["Fleet"]

_PATIENCE = 2.0
"""Seconds."""


class Fleet:
    """
    Implements ``AdminSource``. ``sockets``: index of a gateway → its admin socket; ``processes`` are those that serve,
    and ``state`` tells which version they do and which is wanted.
    """

    def __init__(
        self,
        sockets: Mapping[str, Path],
        processes: Callable[[], Sequence[ChildState]],
        state: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._sockets, self._processes, self._state = sockets, processes, state

    async def readiness(self) -> Readiness:
        """Ready when every gateway is; a deployment is ready when every gateway that answers says so."""
        answers = await self._ask("/readyz")
        gateways = {index: _decoded(text) for index, text in answers.items()}
        processes = {
            state.name: {"phase": state.phase, "restarts": state.restarts + state.part_restarts, "reason": state.reason}
            for state in self._processes()
        }
        endpoints: dict[str, dict[str, Any]] = {}
        for answer in gateways.values():
            for endpoint, deployments in answer.get("endpoints", {}).items():
                for name, state in deployments.items():
                    known = endpoints.setdefault(endpoint, {}).setdefault(name, state)
                    if known["ready"] and not state["ready"]:
                        endpoints[endpoint][name] = state
        for endpoint, deployments in endpoints.items():
            for name, state in deployments.items():
                group = processes.get(f"{endpoint}/{name}", {})
                if not state["ready"] and group.get("reason"):
                    state["reason"] = group["reason"]
        is_ready = all(gateways[index].get("ready", False) for index in self._sockets)
        return Readiness(
            is_ready,
            {
                "endpoints": endpoints,
                "gateways": {index: answer.get("ready", False) for index, answer in gateways.items()},
                "processes": processes,
                **_told(self._state()),
                **_certificate(gateways.values()),
                **_features(gateways),
            },
        )

    async def metrics(self) -> bytes:
        texts = {index: text for index, text in (await self._ask("/metrics")).items() if text}
        return merge_metrics(texts, names.GATEWAY_LABEL, self._own())

    async def examples(self) -> dict[str, Any]:
        """An example row per endpoint, from any gateway that has one."""
        found: dict[str, Any] = {}
        for text in (await self._ask("/examples")).values():
            found.update(_decoded(text))
        return found

    def _own(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(names.PROCESS_UP, "Whether the process is running and ready.", labels=["process"])
        restarts = CounterMetricFamily(
            names.PROCESS_RESTARTS, "Starts of the process after its first.", labels=["process"]
        )
        forks = CounterMetricFamily(
            names.WORKER_RESTARTS, "Workers that were forked again, by deployment.", labels=["process"]
        )
        for state in self._processes():
            up.add_metric([state.name], float(state.is_ready))
            restarts.add_metric([state.name], state.restarts)
            if state.parts:
                forks.add_metric([state.name], state.part_restarts)
        yield from (up, restarts, forks)

    async def _ask(self, path: str) -> dict[str, str]:
        """Index → body, or an empty text from a gateway that does not answer."""
        texts = await asyncio.gather(*(_get(socket, path) for socket in self._sockets.values()))
        return dict(zip(self._sockets, texts, strict=True))


async def _get(socket: Path, path: str) -> str:
    try:
        return (await ask(socket, "GET", path, _PATIENCE)).body.decode(errors="replace")
    except OSError:
        return ""


def _told(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without who did what: no key is asked for here."""
    if not state:
        return {}
    return {
        "state": {
            **{name: told for name, told in state.items() if name != "desired"},
            "wanted": state["desired"]["version"],
        }
    }


def _certificate(answers: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What the gateways show to callers; that which ends first, should one of them be behind."""
    shown: list[Mapping[str, Any]] = [answer["certificate"] for answer in answers if answer.get("certificate")]
    if not shown:
        return {}
    return {"certificate": min(shown, key=lambda certificate: str(certificate["not_after"]))}


def _features(gateways: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """How the feature store does, as each gateway sees it; nothing without views."""
    told = {index: answer["features"] for index, answer in gateways.items() if "features" in answer}
    return {"features": told} if told else {}


def _decoded(text: str) -> dict[str, Any]:
    try:
        decoded: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
    return decoded

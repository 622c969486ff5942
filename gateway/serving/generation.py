"""
One version of everything that a gateway process serves: its lanes, and the stages that are built on them.

A generation is made whole beside the one that serves, and takes its place in one step. What stays the same is not made
again: a lane belongs to as many generations in a row as want it unchanged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gateway.config import Config
from gateway.control.endpoints import EndpointConfig
from gateway.core.catalog import DeploymentState, EndpointState
from gateway.core.request import Answer, Routed
from gateway.core.service import Service
from gateway.features.features import FeatureSet
from gateway.features.stage import Complete
from gateway.routing.rollout import RolloutPlan
from gateway.serving.lane import Lane
from gateway.serving.lines import Key

__all__ = ["Generation"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Generation:
    """Immutable, but for what its lanes learn from their workers."""

    version: int
    content: str
    """Digest of the document, where it is known."""
    config: Config
    lanes: Mapping[Key, Lane]
    """Without those of endpoints that are unloaded."""
    features: FeatureSet
    mirrors: RolloutPlan
    inner: Service[Routed, Answer]
    """Where requests go whose endpoint has no way of its own."""
    stages: Sequence[Complete]
    """All stages of this generation in which a request may wait before it has a place in line."""

    def states(self, before: Mapping[str, EndpointState], failed: Collection[Key] = ()) -> list[EndpointState]:
        """
        As clients may see it. ``failed``: deployments whose workers could not load the model. An endpoint that is as it
        was in ``before`` has the same object: whatever is remembered of it goes on to hold.
        """
        return [
            self._endpoint_state(name, config, before.get(name), failed)
            for name, config in self.config.endpoints.items()
        ]

    def new_since(self, before: Generation) -> list[Lane]:
        """Lanes of this one that the other does not have."""
        return [lane for key, lane in self.lanes.items() if before.lanes.get(key) is not lane]

    def claims_since(self, before: Generation) -> list[Lane]:
        """
        Lanes that have to serve for this one to be as good as the other: those with other workers, or with traffic
        that they did not have. What could not serve before may go on so.
        """
        known = {lane.config.addresses for lane in before.lanes.values()}
        return [
            lane
            for key, lane in self.lanes.items()
            if lane.config.addresses not in known or self.weight(key) > before.weight(key)
        ]

    def weight(self, key: Key) -> int:
        """Percent of the endpoint's traffic; 0 for what is not there."""
        endpoint, name = key
        config = self.config.endpoints.get(endpoint)
        return config.weight(name) if config is not None and name in config.deployments else 0

    def _endpoint_state(
        self, name: str, config: EndpointConfig, before: EndpointState | None, failed: Collection[Key]
    ) -> EndpointState:
        deployments = {
            each: self._state((name, each), config.weight(each), has_failed=(name, each) in failed)
            for each in config.deployments
        }
        if (
            before is not None
            and (before.description, before.is_loaded) == (config.description, config.loaded)
            # In the same order: of two with the same traffic the first one speaks for the endpoint.
            and list(before.deployments.values()) == list(deployments.values())
        ):
            return before
        return EndpointState(
            name=name, description=config.description, is_loaded=config.loaded, deployments=deployments
        )

    def _state(self, key: Key, weight: int, *, has_failed: bool) -> DeploymentState:
        lane = self.lanes.get(key)
        if lane is None:
            return DeploymentState(name=key[1], deployment=None, is_ready=False, reason="unloaded", weight=weight)
        return lane.state(weight, has_failed=has_failed)

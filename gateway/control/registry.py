"""
What is configured and what of it can serve: the one place that knows both.

The configuration comes in whole, at once; descriptions of loaded models come in one by one, as workers report them.
Whoever needs a consistent view (routing, the edge) takes the immutable states, and is told when they changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gateway.control.endpoints import EndpointConfig
from gateway.core.catalog import DeploymentState, EndpointState
from gateway.core.description import Description
from gateway.core.errors import NotFound
from gateway.core.request import Deployment
from gateway.core.signature import Signature

__all__ = ["Registry"]


class Registry:
    """Implements ``gateway.core.catalog.Catalog``."""

    def __init__(self, endpoints: Mapping[str, EndpointConfig]) -> None:
        self._configs = endpoints
        self._listeners: list[Callable[[], None]] = []
        self._states: dict[str, EndpointState] = {
            name: EndpointState(
                name=name,
                description=config.description,
                deployments={
                    deployment: DeploymentState(
                        name=deployment,
                        deployment=None,
                        is_ready=False,
                        reason="no worker has loaded the model yet",
                        weight=config.weight(deployment),
                    )
                    for deployment in config.deployments
                },
            )
            for name, config in endpoints.items()
        }

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after every change of a state."""
        self._listeners.append(listener)

    def describe(
        self, endpoint: str, name: str, described: Description, signature: Signature | None = None
    ) -> Deployment:
        """
        A worker has loaded the model: the deployment can be routed to from now on. The same facts change nothing.

        ``signature`` is what clients see, where features complete what they send.
        """
        config = self._configs[endpoint]
        wanted = config.deployments[name]
        known = self._states[endpoint].deployments[name].deployment
        facts = described.signature, described.platform
        if known is not None and (known.model_signature or known.signature, known.platform) == facts:
            return known
        deployment = Deployment(
            endpoint=endpoint,
            name=name,
            signature=signature or described.signature,
            model_signature=described.signature if signature else None,
            platform=described.platform,
            max_rows=min(wanted.max_rows, described.max_rows or wanted.max_rows),
            request_timeout_ms=config.request_timeout_ms,
            is_idempotent=wanted.idempotent,
        )
        self._replace(endpoint, name, deployment=deployment, is_ready=True, reason="")
        return deployment

    def set_ready(self, endpoint: str, name: str, is_ready: bool, reason: str = "") -> None:
        """Workers of a deployment came or went."""
        state = self._states[endpoint].deployments[name]
        if (state.is_ready, state.reason) != (is_ready, reason):
            self._replace(endpoint, name, deployment=state.deployment, is_ready=is_ready, reason=reason)

    def endpoints(self) -> Sequence[EndpointState]:
        return tuple(self._states.values())

    def endpoint(self, name: str | None) -> EndpointState:
        if name is None:
            if len(self._states) == 1:
                return next(iter(self._states.values()))
            raise NotFound(f"name an endpoint: {', '.join(self._states)}")
        state = self._states.get(name)
        if state is None:
            raise NotFound(f'no endpoint "{name}" here')
        return state

    @property
    def is_ready(self) -> bool:
        """Whether every deployment with traffic can serve."""
        return all(
            state.is_ready
            for endpoint in self._states.values()
            for state in endpoint.deployments.values()
            if state.weight > 0
        )

    def _replace(self, endpoint: str, name: str, *, deployment: Deployment | None, is_ready: bool, reason: str) -> None:
        old = self._states[endpoint]
        state = DeploymentState(
            name=name,
            deployment=deployment,
            is_ready=is_ready,
            reason=reason,
            weight=old.deployments[name].weight,
        )
        self._states[endpoint] = EndpointState(
            name=old.name,
            description=old.description,
            is_open=old.is_open,
            deployments={**old.deployments, name: state},
        )
        for listener in self._listeners:
            listener()

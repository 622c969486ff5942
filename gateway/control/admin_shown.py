"""The desired state and how it does, as the admin API shows it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from gateway.control.admin_state_forms import DeploymentShown, EndpointShown, ModelShown, State, WorkerShown
from gateway.control.document import Document
from gateway.core.access import Principal, Role

__all__ = ["endpoints_shown", "mirror_of", "models_shown", "state_shown", "traffic_of", "workers_shown"]

Health = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Endpoint → deployment → ``ready`` and ``reason``, as readiness tells it."""

_UNLOADED = "unloaded"


def state_shown(document: Document) -> State:
    return State(entry=document.entry, endpoints=document.endpoints, views=document.views, models=document.models)


def traffic_of(settings: Mapping[str, Any]) -> dict[str, int]:
    """Of every deployment; all of it for an only one without a word."""
    names = list(settings.get("deployments", {}))
    traffic = settings.get("traffic") or ({names[0]: 100} if len(names) == 1 else {})
    return {name: traffic.get(name, 0) for name in names}


def mirror_of(settings: Mapping[str, Any]) -> dict[str, int]:
    """Of every deployment that was named as a shadow."""
    return dict(settings.get("mirror_traffic") or {})


def endpoints_shown(document: Document, health: Health) -> list[EndpointShown]:
    return [_endpoint(name, settings, health.get(name, {})) for name, settings in document.endpoints.items()]


def models_shown(document: Document, health: Health) -> list[ModelShown]:
    found = []
    for endpoint in endpoints_shown(document, health):
        for name, deployment in endpoint.deployments.items():
            state: Literal["READY", "LOADING", "UNAVAILABLE"] = "READY" if deployment.ready else "LOADING"
            if not endpoint.loaded:
                state = "UNAVAILABLE"
            found.append(ModelShown(name=endpoint.name, version=name, state=state, reason=deployment.reason))
    return found


def workers_shown(workers: Iterable[WorkerShown], principal: Principal) -> list[WorkerShown]:
    """The gateways, and the groups of those endpoints that the principal may read."""
    return [
        worker for worker in workers if not worker.workers or principal.may(Role.READ, worker.name.partition("/")[0])
    ]


def _endpoint(name: str, settings: Mapping[str, Any], health: Mapping[str, Mapping[str, Any]]) -> EndpointShown:
    is_loaded = settings.get("loaded", True)
    traffic, mirror = traffic_of(settings), mirror_of(settings)
    deployments = {}
    for deployment, wanted in settings.get("deployments", {}).items():
        state = health.get(deployment, {})
        reason = state.get("reason") or "no worker has loaded it yet"
        deployments[deployment] = DeploymentShown(
            model=wanted.get("model", ""),
            weight=traffic[deployment],
            mirror=mirror.get(deployment, 0),
            ready=is_loaded and bool(state.get("ready")),
            reason=_UNLOADED if not is_loaded else "" if state.get("ready") else reason,
        )
    return EndpointShown(
        name=name,
        description=settings.get("description", ""),
        auth_mode=settings.get("auth_mode", "key"),
        loaded=is_loaded,
        deployments=deployments,
    )

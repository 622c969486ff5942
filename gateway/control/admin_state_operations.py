"""The admin API's operations on what is served, as a table; who answers them is in ``admin_state``."""

from __future__ import annotations

from typing import Any

from gateway.control.admin_operation import Method, Operation
from gateway.control.admin_state_forms import (
    Applied,
    Differences,
    EndpointShown,
    History,
    ModelShown,
    PastState,
    Percents,
    RollbackBody,
    State,
    StateBody,
    StatusShown,
    WorkerShown,
)
from gateway.control.endpoints import DeploymentConfig, EndpointConfig
from gateway.core.access import Role

__all__ = ["ENTRIES", "LONGEST_WAIT", "MOST_ENTRIES", "STATE_OPERATIONS"]

LONGEST_WAIT = 600
"""Seconds that one request may wait for an outcome."""
ENTRIES, MOST_ENTRIES = 100, 1000

_WAIT = {"wait": f"seconds to wait for the outcome, at most {LONGEST_WAIT}; without it the answer comes at once"}
_LIMIT = {"limit": f"entries, at most {MOST_ENTRIES}; {ENTRIES} without it"}
_WHOLE = {"whole": "true: what the body does not name is compared as deleted"}
_CHANGED = {200: "Every process runs it, or a later version", 202: "Written, and not yet run everywhere"}
_ERRORS = (400, 404, 405, 412, 413, 422, 428, 503)
_PUSHED = (400, 404, 405, 412, 413, 422, 503)
"""Where a version may be left out."""

_EP = "/endpoints/{endpoint}"
_DEP = "/endpoints/{endpoint}/deployments/{name}"


def _change(
    name: str, method: Method, path: str, summary: str, *, body: Any = None, is_pushed: bool = False
) -> Operation:
    """``is_pushed``: it may be made without naming a version."""
    return Operation(
        name=name,
        method=method,
        path=path,
        summary=summary,
        role=Role.DEPLOY,
        body=body,
        answer=Applied,
        statuses=_CHANGED,
        errors=_PUSHED if is_pushed else _ERRORS,
        query=_WAIT,
        precondition="optional" if is_pushed else "required",
        is_versioned=True,
    )


STATE_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="getState",
        method="GET",
        path="/state",
        summary="The newest desired state, as far as the caller may see it",
        role=Role.READ,
        answer=State,
        errors=(503,),
        is_versioned=True,
    ),
    _change(
        "putState",
        "PUT",
        "/state",
        "Replace everything: what is not named is not served any more",
        body=StateBody,
    ),
    _change(
        "mergeState",
        "PATCH",
        "/state",
        "Replace the endpoints and views that are named, and keep all others",
        body=StateBody,
    ),
    Operation(
        name="diff",
        method="POST",
        path="/diff",
        summary="What the endpoints and views of the body would change, and whether they would be refused",
        role=Role.READ,
        body=StateBody,
        answer=Differences,
        errors=(400, 413, 503),
        query=_WHOLE,
        is_versioned=True,
    ),
    Operation(
        name="getStatus",
        method="GET",
        path="/status",
        summary="Which version every process runs, and what was refused",
        role=Role.READ,
        answer=StatusShown,
    ),
    Operation(
        name="listHistory",
        method="GET",
        path="/history",
        summary="What was changed, when and by whom; newest first",
        role=Role.READ,
        answer=History,
        errors=(400, 503),
        query=_LIMIT,
    ),
    Operation(
        name="getVersion",
        method="GET",
        path="/history/{version}",
        summary="A version, and what going back to it would change",
        role=Role.READ,
        answer=PastState,
        errors=(400, 404, 503),
    ),
    _change(
        "rollback",
        "POST",
        "/rollback",
        "Return to what an earlier version said, as the next version",
        body=RollbackBody,
    ),
    Operation(
        name="listWorkers",
        method="GET",
        path="/workers",
        summary="The gateways, and the workers of each deployment",
        role=Role.READ,
        answer=list[WorkerShown],
    ),
    Operation(
        name="listModels",
        method="GET",
        path="/models",
        summary="Every version of every model that runs, as the Open Inference Protocol's repository index tells it",
        role=Role.READ,
        answer=list[ModelShown],
        errors=(503,),
    ),
    _change(
        "loadModel",
        "POST",
        "/models/{endpoint}/load",
        "Give the endpoint its workers; of one that has them, read the model's files again",
        is_pushed=True,
    ),
    _change(
        "unloadModel",
        "POST",
        "/models/{endpoint}/unload",
        "Take the endpoint's workers away; it stays listed",
        is_pushed=True,
    ),
    Operation(
        name="listEndpoints",
        method="GET",
        path="/endpoints",
        summary="The endpoints that run, as far as the caller may read them, and how their deployments do",
        role=Role.READ,
        answer=list[EndpointShown],
        errors=(503,),
    ),
    Operation(
        name="getEndpoint",
        method="GET",
        path=_EP,
        summary="What the file of an endpoint says",
        role=Role.READ,
        answer=EndpointConfig,
        errors=(404, 503),
        is_versioned=True,
    ),
    _change(
        "putEndpoint",
        "PUT",
        _EP,
        "Add an endpoint, or replace all of one",
        body=EndpointConfig,
    ),
    _change(
        "deleteEndpoint",
        "DELETE",
        _EP,
        "Serve an endpoint no more",
    ),
    Operation(
        name="getTraffic",
        method="GET",
        path=f"{_EP}/traffic",
        summary="Percent of the traffic of each deployment",
        role=Role.READ,
        answer=Percents,
        errors=(404, 503),
        is_versioned=True,
    ),
    _change(
        "setTraffic",
        "PUT",
        f"{_EP}/traffic",
        "Weights that sum to 100, or to 0; a deployment that is not named gets none",
        body=Percents,
        is_pushed=True,
    ),
    Operation(
        name="getMirror",
        method="GET",
        path=f"{_EP}/mirror",
        summary="Percent of the requests that each shadow is sent",
        role=Role.READ,
        answer=Percents,
        errors=(404, 503),
        is_versioned=True,
    ),
    _change(
        "setMirror",
        "PUT",
        f"{_EP}/mirror",
        "Percent for each shadow; a deployment that is not named is sent nothing",
        body=Percents,
        is_pushed=True,
    ),
    Operation(
        name="getDeployment",
        method="GET",
        path=_DEP,
        summary="What is said of a deployment",
        role=Role.READ,
        answer=DeploymentConfig,
        errors=(404, 503),
        is_versioned=True,
    ),
    _change(
        "putDeployment",
        "PUT",
        _DEP,
        "Add a deployment, without traffic, or replace all of one",
        body=DeploymentConfig,
    ),
    _change(
        "deleteDeployment",
        "DELETE",
        _DEP,
        "Take a deployment without traffic away",
    ),
)

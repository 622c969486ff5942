"""
What the supervisor's admin API offers beside probes and metrics: keys, comparisons and the desired state, described.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version

from aiohttp import web

from gateway.auth.credentials import Credentials
from gateway.commands.comparisons import Comparisons
from gateway.control.admin_api import PROBE_OPERATIONS, Readiness
from gateway.control.admin_comparison import COMPARISON_OPERATIONS, comparison_routes
from gateway.control.admin_keys import KEY_OPERATIONS, key_routes
from gateway.control.admin_openapi import describing_routes
from gateway.control.admin_state import state_routes
from gateway.control.admin_state_forms import WorkerShown
from gateway.control.admin_state_operations import STATE_OPERATIONS
from gateway.control.state_desk import StateDesk
from gateway.edge.plain_status import plain_status
from gateway.routing.report import report, without_inputs
from workers.child import ChildState

__all__ = ["supervisor_routes"]


def supervisor_routes(
    credentials: Credentials,
    comparisons: Comparisons,
    desk: StateDesk,
    *,
    readiness: Callable[[], Awaitable[Readiness]],
    children: Callable[[], Sequence[ChildState]],
) -> list[web.RouteDef]:
    """Each judges its callers, but for the description."""
    operations = (*PROBE_OPERATIONS, *KEY_OPERATIONS, *COMPARISON_OPERATIONS, *STATE_OPERATIONS)
    return [
        *key_routes(credentials.desk, plain_status),
        *comparison_routes(credentials.admin, comparisons, report, without_inputs, plain_status),
        *state_routes(desk, plain_status, readiness=readiness, workers=lambda: [_shown(each) for each in children()]),
        *describing_routes(version("lockgate"), operations),
    ]


def _shown(state: ChildState) -> WorkerShown:
    return WorkerShown(
        name=state.name,
        phase=state.phase,
        pid=state.pid,
        workers=len(state.parts),
        ready=len(state.ready),
        restarts=state.restarts + state.part_restarts,
        reason=state.reason,
    )

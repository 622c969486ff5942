"""
What the edge may know of endpoints and deployments: names, signatures and whether they can serve.

The registry in ``gateway.control`` implements this; the edge, which must not import it, sees this protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.errors import NotReady
from gateway.core.request import Deployment

__all__ = ["Catalog", "DeploymentState", "EndpointState", "Stats", "StatsSource", "not_loaded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentState:
    """One deployment as clients may see it."""

    name: str
    deployment: Deployment | None
    """None until a worker has loaded the model once."""
    is_ready: bool
    reason: str = ""
    """Why it is not ready."""
    weight: int = 0
    has_failed: bool = False
    """Whether its model was tried and could not be loaded, where ``deployment`` is None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """One endpoint with its deployments in the order of the file."""

    name: str
    deployments: Mapping[str, DeploymentState]
    description: str = ""
    is_open: bool = False
    """Whether anybody may read its metadata without a credential."""
    is_loaded: bool = True
    """False where somebody has unloaded it: it has no workers, and gets none by waiting."""

    @property
    def default(self) -> DeploymentState:
        """The deployment that speaks for the endpoint when none is named: the one with most traffic."""
        return max(self.deployments.values(), key=lambda state: state.weight)


class Catalog(Protocol):
    """Looks endpoints up; never waits."""

    def endpoints(self) -> Sequence[EndpointState]: ...

    def endpoint(self, name: str | None) -> EndpointState:
        """The named endpoint, or the only one when ``name`` is None. Raises ``NotFound``."""
        ...


@dataclass(slots=True)
class Stats:
    """Counters of one deployment since start, as OIP's statistics extension wants them; times in nanoseconds."""

    success_count: int = 0
    success_ns: int = 0
    fail_count: int = 0
    fail_ns: int = 0
    queue_ns: int = 0
    compute_ns: int = 0
    inference_count: int = 0
    """Rows scored."""
    execution_count: int = 0
    """Batches scored."""
    last_inference_ms: int = 0
    """Unix time in milliseconds."""
    batches: dict[int, tuple[int, int]] | None = None
    """Batch size in rows → (number of batches, compute time in ns)."""


class StatsSource(Protocol):
    def stats(self, endpoint: str, deployment: str) -> Stats: ...


def not_loaded(endpoint: str, deployment: str, *, has_failed: bool) -> NotReady:
    """What a caller hears of a deployment without a model; why it failed may name files, and is not for callers."""
    what = "has failed to load its model; the server's log says why" if has_failed else "has not loaded its model yet"
    return NotReady(f'deployment "{deployment}" of endpoint "{endpoint}" {what}')

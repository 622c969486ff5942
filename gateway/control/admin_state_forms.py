"""What is sent and answered on the admin API's routes of the desired state; OpenAPI is made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from gateway.control.diff import Change
from gateway.control.document import Entry
from gateway.control.progress import Outcome, Progress

__all__ = [
    "STATE_BYTES",
    "Applied",
    "DeploymentShown",
    "Differences",
    "EndpointShown",
    "EntryShown",
    "History",
    "ModelShown",
    "PastState",
    "Percents",
    "RollbackBody",
    "State",
    "StateBody",
    "StatusShown",
    "WorkerShown",
]

STATE_BYTES = 1024 * 1024
"""Of a body that says a whole state, or a whole endpoint."""

Percents = dict[str, int]
"""Deployment → whole percent."""


class StateBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Endpoints and views as their files say them, with absolute paths. ``entry`` and ``models`` are not read: they
    are there so that what ``GET /state`` gives can be sent back."""

    endpoints: dict[str, dict[str, Any]]
    views: dict[str, dict[str, Any]] = {}
    entry: Any = None
    models: Any = None


class RollbackBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``version`` null: what ran last before the newest. ``with_new_files``: also with models that have changed."""

    version: int | None = None
    with_new_files: bool = False


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The desired state, as far as the caller may see it."""

    entry: Entry
    endpoints: Mapping[str, Mapping[str, Any]]
    views: Mapping[str, Mapping[str, Any]]
    models: Mapping[str, str]


class PastState(msgspec.Struct, frozen=True, kw_only=True):
    """A version, and what going back to it would change now."""

    state: State
    changes: Sequence[Change]


class Differences(msgspec.Struct, frozen=True, kw_only=True):
    """What a document would change of the version that it was compared with."""

    version: int
    changes: Sequence[Change]
    problem: str = ""
    """Why it would be refused; empty where it would not."""


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What a change led to."""

    version: int
    """Of the desired state: a new one, or the old one where everything was so already."""
    what: str
    changes: Sequence[Change]
    outcome: Outcome
    running: int
    """The version that runs."""
    reason: str = ""
    """Why it was refused."""


class DeploymentShown(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment."""

    model: str
    weight: int
    mirror: int
    ready: bool
    reason: str = ""


class EndpointShown(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint."""

    name: str
    description: str
    auth_mode: str
    loaded: bool
    deployments: Mapping[str, DeploymentShown]


class ModelShown(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model, in the words of the Open Inference Protocol's repository index."""

    name: str
    version: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str


class WorkerShown(msgspec.Struct, frozen=True, kw_only=True):
    """One process below the supervisor, or the group of workers of one deployment."""

    name: str
    """``gateway/0``, or endpoint and deployment."""
    phase: str
    pid: int | None = None
    workers: int = 0
    """Of a group: how many; 0 for a gateway."""
    ready: int = 0
    restarts: int = 0
    reason: str = ""


class StatusShown(msgspec.Struct, frozen=True, kw_only=True):
    """What runs, what is wanted, and whether anything stands between them."""

    newest: Entry | None
    """None while the source does not answer."""
    progress: Progress
    ready: bool
    """Whether every deployment with traffic can serve."""
    problem: str = ""
    """Why the newest cannot be read."""
    read_only: str = ""
    """Why nothing can be changed here; empty where it can."""


class EntryShown(Entry, frozen=True, kw_only=True):
    """The same, with what became of it."""

    refused: str = ""
    """Why it was; empty where it was not, as far as is known here."""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    running: int
    entries: Sequence[EntryShown]

"""
What every runtime offers to the process that drives it.

Construction is cheap and touches no model; the cost belongs in ``load``. All methods run on the process's main
thread, which R insists on, except ``interrupt``, which a watchdog thread calls while ``score`` runs, and ``score``
itself where ``scores_anywhere`` says so. Never two at a time but for ``interrupt``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from workers.schema import Schema

__all__ = [
    "Batch",
    "BatchInvalid",
    "LoadError",
    "Loaded",
    "ModelError",
    "ModelTimeout",
    "Result",
    "Runtime",
    "Text",
    "Warned",
]

Text = list[str | None]
"""The values of one string column, None where missing."""
Warned = tuple[str, str]
"""Message and class of something that a model warned of."""


class LoadError(Exception):
    """The model cannot be served; the text says what was expected and, where it can, what to do."""


class ModelError(Exception):
    """
    The model raised while scoring; ``kind`` is the class of the error in the runtime's words, ``warnings`` what it
    warned of before.
    """

    def __init__(self, message: str, kind: str = "error", warnings: Sequence[Warned] = ()) -> None:
        super().__init__(message)
        self.kind, self.warnings = kind, warnings


class ModelTimeout(Exception):
    """Scoring was stopped at its budget."""


class BatchInvalid(Exception):
    """The batch does not fit the schema."""


@dataclass(slots=True)
class Batch:
    """Rows to score; see worker.proto for the form of a record."""

    rows: int
    records: bytes
    texts: list[Text] = field(default_factory=list)
    shapes: list[tuple[int, ...]] | None = None
    """Per-row shape of every input, only if the schema leaves a length open."""


@dataclass(slots=True)
class Result:
    """One record per row, of the schema's outputs."""

    records: bytes
    texts: list[Text] = field(default_factory=list)
    shapes: list[tuple[int, ...]] | None = None
    warnings: Sequence[Warned] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What ``load`` found."""

    schema: Schema
    platform: str
    """In OIP's words: ``onnx_onnxruntime`` or ``r``."""
    runtime: str
    """Name and version, such as ``R 4.2.2``."""
    device: str = "cpu"
    """Where it really runs."""
    max_rows: int = 0
    """The largest batch that the model takes; 0: no limit of its own."""
    has_made_up_example: bool = False
    """Whether the example of the schema is the runtime's own: plausible rows, which nobody gave."""
    may_make_up: bool = True
    """Whether rows that nobody gave may be scored, to warm the model up; not where they would be whole requests."""
    properties: dict[str, str] = field(default_factory=dict)
    warnings: Sequence[Warned] = ()
    """What the model warned of meanwhile."""
    load_ms: int = 0
    """How long it took; filled in by whoever loads."""


class Runtime(ABC):
    """One loaded model."""

    loads_before_fork: ClassVar[bool]
    """True where the loaded model is shared with forked workers (R); False where it must be loaded after (ONNX)."""

    scores_anywhere = False
    """True where ``score`` may run on any thread, which ``load`` may find out; it is never due for a rest then."""

    @abstractmethod
    def load(self) -> Loaded:
        """Load and check the model. Raises ``LoadError``."""

    @abstractmethod
    def score(self, batch: Batch) -> Result:
        """Raises ``ModelError``, ``ModelTimeout`` after ``interrupt``, or ``BatchInvalid``."""

    def forked(self) -> None:  # noqa: B027  # most runtimes have nothing to do
        """Called once in a new child, before its first batch: reseed, reopen."""

    def interrupt(self) -> None:  # noqa: B027
        """Ask a running ``score`` to stop; from another thread. May have no effect: the caller kills after a grace."""

    @property
    def is_due(self) -> bool:
        """Whether a rest (a full garbage collection) should come soon."""
        return False

    def rest(self) -> None:  # noqa: B027
        """Collect garbage; may take 100 ms and more. Also called once after the warm-up, before a fork."""

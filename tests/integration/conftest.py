"""The server that tests may ill-treat, as long as they leave it healthy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.rough import Gate, Rough
from tests.support.stack import Stack, serving

_SETTINGS = "pool: {batches_in_flight: 1, soon_ms: 60000}\n"
"""A batch leaves only when the one before is answered, and who lost the last worker waits for the next."""


@dataclass(frozen=True, slots=True)
class IllTreated:
    """A server of small models; ``gates`` by endpoint."""

    stack: Stack
    folder: Rough
    gates: dict[str, Gate]

    def right(self, wt: float) -> list[float]:
        """What R answers to one row."""
        return [self.folder.answers[wt]]


@pytest.fixture(scope="session")
def rough(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IllTreated]:
    """Endpoints ``pair`` and ``lone`` on R, ``net-pair`` and ``net-lone`` on ONNX Runtime, with 2 and 1 workers."""
    folder = Rough(tmp_path_factory.mktemp("rough") / "served", settings=_SETTINGS)
    gates = {
        "pair": folder.r("pair", workers=2),
        "lone": folder.r("lone", workers=1),
        "leaky": folder.r("leaky", workers=1, memory_limit_mb=230),
        "small": folder.r("small", workers=1, max_rows=2, max_queue_rows=4),
    }
    folder.onnx("net-pair", workers=2)
    folder.onnx("net-lone", workers=1)
    expected = ("worker.killed_itself", "caught segfault")
    with serving(folder.root, tmp_path_factory.mktemp("state"), expected=expected) as stack:
        yield IllTreated(stack, folder, gates)

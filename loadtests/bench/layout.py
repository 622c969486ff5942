"""
Which core does what. The bench takes two cores and leaves the others alone.

- Bare servers and Lockgate with an ONNX model: the bare server, or the gateway, alone on the first core, as
  Lockgate's own plan has it; the load on the second, and with it Lockgate's worker. The floor's likewise.
- Beside Triton: each server whole on one core, the load on the other.
- R models: the R process alone on the second core, since it is what costs; load and, for Lockgate, the gateway on the
  first. Plumber is given the same: its process alone, the load on the other core.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["Layout", "two_cores"]


@dataclass(frozen=True, slots=True)
class Layout:
    """Two cores of this machine."""

    server: int
    load: int

    @property
    def both(self) -> list[int]:
        return [self.server, self.load]


def two_cores() -> Layout:
    """The first two cores that this process may use. Raises ``RuntimeError`` when there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise RuntimeError("the bench needs two cores: one for the server and one for the load")
    return Layout(server=cores[0], load=cores[1])

"""
Starts the steady load in a process of its own on one core, and ends it when whoever started it is done; meanwhile it
watches what the host takes of the cores.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import msgspec

from loadtests.bench.steady import PATIENCE, Sample, SteadyLoad
from loadtests.bench.stolen import StolenTime

__all__ = ["SteadyRun"]

END_SECONDS = 20.0
"""For its start and for writing what it found."""


class SteadyRun:
    """Load on ``core`` from entering the block until ``wait`` or ``stop``. ``cores`` are all that take part in it."""

    def __init__(self, load: SteadyLoad, core: int, cores: Collection[int]) -> None:
        self._load, self._core, self._cores = load, core, cores
        self._watching = ExitStack()

    def __enter__(self) -> Self:
        self._stolen = self._watching.enter_context(StolenTime(self._cores))
        argv = ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(self._core)]
        argv += [sys.executable, "-m", "loadtests.bench.steady"]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None  # noqa: S101  # it was asked for
        self._process.stdin.write(msgspec.json.encode(self._load) + b"\n")
        self._process.stdin.flush()
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self) -> list[Sample]:
        """Until its time is over. Raises ``subprocess.SubprocessError``."""
        assert self._process.stdout is not None  # noqa: S101  # it was asked for
        found = self._process.stdout.read()
        if self._process.wait(END_SECONDS):
            raise subprocess.CalledProcessError(self._process.returncode, "steady")
        return self._samples(found)

    def stop(self) -> list[Sample]:
        """End it now. Raises ``subprocess.SubprocessError``."""
        output, _ = self._process.communicate(timeout=PATIENCE + END_SECONDS)
        if self._process.returncode:
            raise subprocess.CalledProcessError(self._process.returncode, "steady")
        return self._samples(output)

    def _samples(self, found: bytes) -> list[Sample]:
        self._watching.close()
        samples = msgspec.json.decode(found, type=list[Sample])
        return [
            msgspec.structs.replace(sample, met_theft=self._stolen.met(sample.due, sample.due + sample.seconds))
            for sample in samples
        ]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._watching.close()

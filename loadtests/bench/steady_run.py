"""Starts the steady load in a process of its own on one core, and ends it when whoever started it is done."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType
from typing import Self

import msgspec

from loadtests.bench.steady import PATIENCE, Sample, SteadyLoad

__all__ = ["SteadyRun"]

END_SECONDS = 20.0
"""For its start and for writing what it found."""


class SteadyRun:
    """Load from entering the block until ``samples`` is called."""

    def __init__(self, load: SteadyLoad, core: int) -> None:
        self._load, self._core = load, core

    def __enter__(self) -> Self:
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
        return msgspec.json.decode(found, type=list[Sample])

    def stop(self) -> list[Sample]:
        """End it now. Raises ``subprocess.SubprocessError``."""
        output, _ = self._process.communicate(timeout=PATIENCE + END_SECONDS)
        if self._process.returncode:
            raise subprocess.CalledProcessError(self._process.returncode, "steady")
        return msgspec.json.decode(output, type=list[Sample])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

"""
One server process under test: started on its core, watched while it starts, stopped with everything it started.

It dies with the bench, also when that is killed, because ``setpriv --pdeathsig`` arms it before it runs.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from loadtests.bench.cpu import descendants

__all__ = ["Server", "ServerFailed", "free_port"]

POLL_SECONDS = 0.1


class ServerFailed(Exception):
    """A server ended, or did not get ready in time; its last words are in the text."""


class Server:
    """
    ``cores``: where it may run; its children inherit that. What it prints goes to ``log``. ``env`` is added to ours.
    """

    def __init__(
        self, name: str, argv: Sequence[str], *, cores: Sequence[int], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", ",".join(map(str, cores)), *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def roles(self) -> Mapping[str, Sequence[int]]:
        """A server of one kind of process."""
        return {"server": [self.pid, *descendants(self.pid)]}

    def wait_until(self, is_ready: Callable[[], bool], timeout: float) -> None:
        """Ask until it is. Raises ``ServerFailed``."""
        ends = time.monotonic() + timeout
        while not is_ready():
            if self._process.poll() is not None:
                raise ServerFailed(f"{self.name} ended with status {self._process.returncode}:\n{self._last_words()}")
            if time.monotonic() > ends:
                raise ServerFailed(f"{self.name} was not ready within {timeout:.0f} s:\n{self._last_words()}")
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        """Ask it to end, and end it if it does not."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])


def free_port() -> int:
    """
    A TCP port that was free a moment ago, from below those that the kernel gives to outgoing connections: one of these
    could be taken before the server, which may load a model first, listens on it.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port

"""A real ``lockgate serve`` in a process of its own, watched line by line through its output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.ports import free_ports

__all__ = ["ROOT", "Served", "lockgate", "serving"]

ROOT = Path(__file__).parents[2]
_LIMIT = 90.0
"""Seconds after which a server that a test waits for is killed, so that the test fails instead of hanging."""


def lockgate(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )


@dataclass
class Served:
    """A running server. ``lines``: what it has printed so far, log included."""

    process: subprocess.Popen[str]
    folder: Path
    http: int
    grpc: int
    admin: int
    lines: list[str] = field(default_factory=list)

    def until(self, holds: Callable[[str], bool]) -> str:
        """Read on until a line of which ``holds`` is true."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if holds(line):
                return line
        raise AssertionError("the server ended:\n" + "".join(self.lines[-40:]))

    def ask_admin(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def readiness(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ask_admin("/readyz")[1])
        return found

    def descendants(self) -> list[int]:
        """Every process below the server."""
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            below = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
            found += below
            todo += below
        return found

    def child(self, word: str) -> int:
        """The one child with ``word`` as a word of its command line."""
        pids = [pid for pid in self.descendants() if word in Path(f"/proc/{pid}/cmdline").read_text().split("\0")]
        return min(pids)

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stdout is not None
        self.lines += self.process.stdout
        return self.process.wait(_LIMIT)


@contextmanager
def serving(path: Path, folder: Path, *options: str) -> Iterator[Served]:
    """Serve ``path`` from ``folder`` for the length of the block."""
    http, grpc, admin = free_ports(3)
    ports = ["--port", str(http), "--grpc-port", str(grpc), "--admin-port", str(admin)]
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve", str(path), "--host", "127.0.0.1", *ports, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watchdog = threading.Timer(_LIMIT, process.kill)
    watchdog.start()
    try:
        yield Served(process, folder, http, grpc, admin)
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

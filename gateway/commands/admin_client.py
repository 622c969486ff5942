"""The admin API of the server on this machine, asked from the command line with a key of its state directory."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from gateway.core.errors import ConfigError

__all__ = ["AdminClient", "AdminReply", "path_of"]

_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class AdminReply:
    """What was answered."""

    status: int
    json: Any
    version: int | None = None
    """Of the desired state, where the answer tells it."""

    @property
    def reason(self) -> str:
        """Why it was refused."""
        try:
            return str(self.json["error"]["message"])
        except (KeyError, TypeError):
            return f"HTTP {self.status}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminClient:
    """``port`` on loopback; ``key_file`` holds the key that is shown."""

    port: int
    key_file: Path
    host: str = field(default="127.0.0.1", init=False)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        seen: int | None = None,
        query: Mapping[str, Any] | None = None,
        timeout: float = 0,
    ) -> AdminReply:
        """
        ``seen`` is the version that a change is made for; ``timeout`` comes on top of what an answer takes at most.

        Raises ``ConfigError`` where there is no key or nobody answers.
        """
        headers = {"Authorization": f"Bearer {self._key()}"}
        if seen is not None:
            headers["If-Match"] = f'"{seen}"'
        connection = http.client.HTTPConnection(self.host, self.port, timeout=_TIMEOUT + timeout)
        try:
            whole = f"{path}?{urlencode(query)}" if query else path
            connection.request(method, whole, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return AdminReply(response.status, _decoded(response.read()), _version(response.getheader("ETag")))
        except (OSError, http.client.HTTPException) as error:
            told = getattr(error, "strerror", None) or error or "it broke off"
            raise ConfigError(f"--admin-port {self.port}", f"no answer: {told}") from error
        finally:
            connection.close()

    def _key(self) -> str:
        try:
            return self.key_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            told = getattr(error, "strerror", None) or error
            raise ConfigError(f"--key-file {self.key_file}", f"cannot be read: {told}") from error


def path_of(*parts: str) -> str:
    """A path of names, each as one segment."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body[:200].decode(errors="replace")


def _version(tag: str | None) -> int | None:
    text = (tag or "").strip('"')
    return int(text) if text.isdigit() else None

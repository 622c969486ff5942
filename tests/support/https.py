"""One HTTPS request after another to a real server, by Python's own client: no library of ours between."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from types import TracebackType
from typing import Any

from tests.support.stack import PATIENCE, Stack

__all__ = ["Https", "Reply"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Https:
    """One connection that is kept; sends the stack's key unless told otherwise. Use it as a context."""

    def __init__(self, stack: Stack) -> None:
        self._headers = {"Authorization": f"Bearer {stack.key}"}
        context = ssl.create_default_context(cafile=str(stack.ca))
        self._connection = http.client.HTTPSConnection("localhost", stack.http_port, timeout=PATIENCE, context=context)

    def __enter__(self) -> Https:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str | None] | None = None
    ) -> Reply:
        """``body`` as it is if it is bytes, else as JSON; a header of None is left out."""
        sent = {**self._headers, **(headers or {})}
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        self._connection.request(
            method, path, content, {name: value for name, value in sent.items() if value is not None}
        )
        response = self._connection.getresponse()
        return Reply(response.status, response.headers, response.read())

    def post(self, path: str, body: object, headers: Mapping[str, str | None] | None = None) -> Reply:
        return self.ask("POST", path, body, headers)

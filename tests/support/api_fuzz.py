"""
Requests that schemathesis makes from our own API documents, sent to a real server.

``python -m tests.support.api_fuzz SECONDS`` serves the examples and goes on for as long as it is told.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.samples import EXAMPLES
from tests.support.stack import Stack, serving

__all__ = ["ApiFuzz"]

CHECKS = [
    *(not_a_server_error, status_code_conformance, content_type_conformance),
    *(response_headers_conformance, response_schema_conformance),
]


class ApiFuzz:
    """The operations of one endpoint's document, and how to try them. Use it as a context."""

    def __init__(self, stack: Stack, endpoint: str, version: str) -> None:
        self._stack = stack
        self._session = requests.Session()
        self._session.verify = str(stack.ca)
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {stack.key}"
        base = f"/api/v1/endpoint/{endpoint}"
        answer = self._session.get(f"{stack.url}{base}/swagger.json", params={"version": version}, timeout=60)
        answer.raise_for_status()
        self.schema = schemathesis.openapi.from_dict(answer.json())

    def __enter__(self) -> ApiFuzz:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def operations(self) -> Iterator[Any]:
        for result in self.schema.get_all_operations():
            assert isinstance(result, Ok), result
            yield result.ok()

    def run(
        self, examples: int, modes: Sequence[GenerationMode] = tuple(GenerationMode), *, is_random: bool = False
    ) -> list[int]:
        """The statuses; whatever breaks a promise of the document raises. The same requests each time, or others."""
        statuses: list[int] = []
        for operation in self.operations():
            for mode in modes:
                if mode is GenerationMode.POSITIVE or operation.body:  # there is no wrong way to ask for nothing
                    self._try(operation, mode, examples, statuses.append, is_random=is_random)
        return statuses

    def _try(
        self,
        operation: Any,
        mode: GenerationMode,
        examples: int,
        note: Callable[[int], None],
        *,
        is_random: bool,
    ) -> None:
        def ask(case: Any) -> None:
            response = case.call(base_url=self._stack.url, session=self._session, verify=str(self._stack.ca))
            note(response.status_code)
            case.validate_response(response, checks=CHECKS)

        bounded = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=not is_random,
            suppress_health_check=list(HealthCheck),
        )
        bounded(given(case=operation.as_strategy(generation_mode=mode))(ask))()


@contextmanager
def _examples() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory() as folder, serving(EXAMPLES, Path(folder)) as stack:
        yield stack


def main(seconds: float) -> int:
    end, count = time.monotonic() + seconds, 0
    with _examples() as stack:
        endpoints = sorted(path.stem for path in (EXAMPLES / "endpoints").glob("*.yaml"))
        while time.monotonic() < end:
            for endpoint in endpoints:
                for version in ("2.0", "3.0", "3.1"):
                    with ApiFuzz(stack, endpoint, version) as fuzz:
                        count += len(fuzz.run(20, is_random=True))
    sys.stdout.write(f"{count} requests\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))

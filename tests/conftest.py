"""Servers that take seconds to start and are shared by everybody who only asks them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.samples import EXAMPLES
from tests.support.stack import Stack, serving


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """``lockgate serve examples``, for tests that change nothing."""
    with serving(EXAMPLES, tmp_path_factory.mktemp("examples")) as stack:
        yield stack
    assert [event for event in stack.events if event.get("level") == "warning"] == []

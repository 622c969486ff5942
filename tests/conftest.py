"""Servers that take seconds to start and are shared by everybody who only asks them."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import hypothesis
import pytest
import structlog

from tests.support.samples import EXAMPLES
from tests.support.stack import Stack, serving
from tests.support.valkey import Valkey, private_valkey

# An example may take as long as the machine lets it: none is wrong because another process ran meanwhile.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")

_STOOD_STILL = frozenset(
    {
        "features.circuit_opened",
        "features.not_connected",
        "features.tracking_lost",
        "pool.worker_lost",
        "worker.interrupted",
    }
)
"""Warnings of a server that is well, on a machine that stood still for a second: time was over."""


@pytest.fixture(autouse=True)
def logs_of_this_test_alone() -> Iterator[None]:
    """A command that was run in this process sets up logging for it, and would leave later tests without events."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """``lockgate serve examples``, for tests that change nothing."""
    with serving(EXAMPLES, tmp_path_factory.mktemp("examples"), expected=("worker.killed_itself",)) as stack:
        yield stack
    warnings = [event for event in stack.events if event.get("level") == "warning"]
    # A worker that died of anything but its own watchdog (SIGKILL) is told all the same.
    odd = [each for each in warnings if each["event"] not in _STOOD_STILL and each.get("status") != -signal.SIGKILL]
    assert odd == [], odd


@pytest.fixture(scope="session")
def shared_valkey() -> Iterator[Valkey]:
    """One server for features; use ``valkey``, which empties it first."""
    with private_valkey() as server:
        yield server


@pytest.fixture
def valkey(shared_valkey: Valkey) -> Valkey:
    """A real server for features, empty; to kill or pause one, make a ``private_valkey``."""
    shared_valkey.empty()
    return shared_valkey

"""Back-off, expiry, lengths of time, settings: small and pure."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from feature_cache.backoff import Backoff
from feature_cache.duration import seconds
from feature_cache.expiry import Expiry
from feature_cache.murmur3 import murmur3_32
from feature_cache.settings import CircuitSettings, LocalSettings, StoreSettings, TlsSettings
from tests.support.virtual_loop import on_virtual_time


def test_pauses_double_up_to_the_most_and_begin_again_after_success() -> None:
    backoff = Backoff(1.0, 4.0, lambda: 0.0)
    pauses = [backoff.delay() for _ in range(4)]
    backoff.reset()

    assert [*pauses, backoff.delay()] == [1.0, 2.0, 4.0, 4.0, 1.0]


def test_a_pause_is_shortened_by_chance_to_half_at_most() -> None:
    assert Backoff(1.0, 4.0, lambda: 1.0).delay() == 0.5


@pytest.mark.parametrize(
    ("length", "value"), [("250ms", 0.25), ("90s", 90), ("1.5h", 5400), (" 7 d ", 604800), (3, 3), (0.5, 0.5)]
)
def test_a_length_of_time_is_read(length: float | str, value: float) -> None:
    assert seconds(length) == value


@pytest.mark.parametrize("length", ["", "s", "1w", "-1s", "1s2", 0, -1, float("nan")])
def test_what_is_no_length_of_time_is_refused(length: float | str) -> None:
    with pytest.raises(ValueError, match="expected a length of time"):
        seconds(length)


@pytest.mark.parametrize("length", ["36501d", 1e300, float("inf"), f"{10**400}s"])
def test_a_length_of_time_that_no_store_can_keep_is_refused(length: float | str) -> None:
    with pytest.raises(ValueError, match="expected at most 36500d, got"):
        seconds(length)


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"", 0), (b"a", 0x3C2569B2), (b"abc", 0xB3DD93FA), (b"Hello, world!", 0xC0363E43), (b"\xff" * 4, 0x76293B50)],
)
def test_murmur3_gives_its_known_values(data: bytes, value: int) -> None:
    assert murmur3_32(data) == value


class Item:
    def __init__(self) -> None:
        self.is_done = False
        self.expired_at: list[float] = []

    def expire(self) -> None:
        self.expired_at.append(asyncio.get_running_loop().time())


@on_virtual_time
async def test_each_item_falls_due_after_its_own_patience_and_done_ones_never() -> None:
    clock = asyncio.get_running_loop().time
    expiry, start = Expiry(1.0, clock), clock()
    items = [Item(), Item(), Item()]
    for item in items:
        expiry.add(item, clock())
        await asyncio.sleep(0.25)
    items[1].is_done = True
    await asyncio.sleep(5.0)

    assert [[at - start for at in item.expired_at] for item in items] == [[1.0], [], [1.5]]


@on_virtual_time
async def test_what_is_done_does_not_pile_up() -> None:
    clock = asyncio.get_running_loop().time
    expiry = Expiry(3600.0, clock)
    for _ in range(100):
        item = Item()
        expiry.add(item, clock())
        item.is_done = True

    assert len(expiry) == 1


@on_virtual_time
async def test_closing_expires_what_is_left_at_once() -> None:
    clock = asyncio.get_running_loop().time
    expiry, item = Expiry(1.0, clock), Item()
    expiry.add(item, clock())
    expiry.close()
    await asyncio.sleep(5.0)

    assert len(item.expired_at) == 1


@pytest.mark.parametrize(
    ("kind", "values", "complaint"),
    [
        (StoreSettings, {"timeout_ms": 0}, "timeout_ms: expected more than 0"),
        (StoreSettings, {"connections": 0}, "connections: expected 1 to 1024, got 0"),
        (StoreSettings, {"max_backoff_ms": 1}, "max_backoff_ms: expected at least min_backoff_ms \\(20\\), got 1"),
        (StoreSettings, {"ping": 1}, "unknown field `ping`"),
        (LocalSettings, {"ttl_ms": 0}, "ttl_ms: expected 1 to 31536000000"),
        (LocalSettings, {"max_bytes": -1}, "max_bytes: expected 0 to 1099511627776"),
        (CircuitSettings, {"failures": 0}, "failures: expected 1 to 1000000"),
        (
            CircuitSettings,
            {"open_ms": 50, "max_open_ms": 10},
            "max_open_ms: expected at least open_ms \\(50\\), got 10",
        ),
        (TlsSettings, {"key_file": "a"}, "cert_file: expected beside key_file"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(kind: type, values: dict[str, Any], complaint: str) -> None:
    given = {"url": "redis://a", **values} if kind is StoreSettings else values
    with pytest.raises(msgspec.ValidationError, match=complaint):
        msgspec.convert(given, kind, dec_hook=lambda wanted, value: wanted(value))

"""Refusals are told, but not so often that they fill a disk."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from gateway.auth.audit import Audit, host_of
from gateway.auth.bearer import forbidden, invalid
from gateway.core.access import Presented, Principal, Role


class Trail:
    def __init__(self) -> None:
        self.now = 0.0
        self.audit = Audit(clock=lambda: self.now)

    def refuse(self, peer: str, times: int = 1) -> None:
        for _ in range(times):
            self.audit.refused(Presented("Bearer lg_secret", None, peer), "price", Role.SCORE, invalid("no"))


def test_a_refusal_says_who_what_where_and_why_and_not_what_was_shown() -> None:
    with capture_logs() as events:
        Audit(clock=lambda: 0.0).refused(
            Presented("Bearer lg_secret", None, "10.0.0.7"),
            "price",
            Role.KEYS,
            forbidden("key", Role.KEYS, "price", "ci"),
        )

    assert events == [
        {
            "event": "audit.refused",
            "log_level": "info",
            "who": "ci",
            "what": "keys",
            "endpoint": "price",
            "where": "10.0.0.7",
            "outcome": "forbidden",
            "reason": None,
        }
    ]


def test_what_was_done_is_always_told() -> None:
    with capture_logs() as events:
        audit = Audit(clock=lambda: 0.0)
        for _ in range(1000):
            audit.did("audit.key_revoked", Principal("root"), "127.0.0.1", name="ci")

    assert len(events) == 1000
    assert {**events[0], "log_level": ""} == {
        "event": "audit.key_revoked",
        "log_level": "",
        "who": "root",
        "kind": "key",
        "where": "127.0.0.1",
        "outcome": "done",
        "name": "ci",
    }


def test_a_flood_from_one_address_is_ten_lines_a_minute_and_a_summary() -> None:
    trail = Trail()
    with capture_logs() as events:
        trail.refuse("10.0.0.7", 5000)
        trail.now = 59.9
        trail.refuse("10.0.0.7")
        trail.now = 60.0
        trail.audit.sweep()

    assert [event["event"] for event in events] == ["audit.refused"] * 10 + ["audit.refusals_left_out"]
    assert (events[-1]["refusals"], events[-1]["where"]) == (4991, {"10.0.0.7": 4991})


def test_a_flood_does_not_hide_another_address() -> None:
    trail = Trail()
    with capture_logs() as events:
        trail.refuse("10.0.0.7", 5000)
        trail.refuse("10.0.0.8")

    assert [event["where"] for event in events][-1] == "10.0.0.8"


def test_a_flood_from_a_million_addresses_is_bounded_too() -> None:
    trail = Trail()
    with capture_logs() as events:
        for number in range(5000):
            trail.refuse(f"2001:db8::{number:x}")
        trail.audit.close()

    assert [event["event"] for event in events] == ["audit.refused"] * 100 + ["audit.refusals_left_out"]
    assert events[-1]["refusals"] == 4900
    assert len(events[-1]["where"]) == 10
    assert events[-1]["where"]["others"] == 4000


def test_the_next_minute_begins_anew() -> None:
    trail = Trail()
    with capture_logs() as events:
        trail.refuse("10.0.0.7", 20)
        trail.now = 60.0
        trail.refuse("10.0.0.7", 3)

    assert [event["event"] for event in events].count("audit.refused") == 13


def test_a_quiet_minute_leaves_no_line() -> None:
    trail = Trail()
    with capture_logs() as events:
        trail.refuse("10.0.0.7", 10)
        trail.now = 60.0
        trail.audit.sweep()

    assert len(events) == 10


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("ipv4:10.0.0.7:51234", "10.0.0.7"),
        ("ipv6:%5B::1%5D:51234", "::1"),
        ("ipv6:[2001:db8::1]:443", "2001:db8::1"),
        ("::1", "::1"),
        ("unix:/run/x", "local"),
        ("", "local"),
    ],
)
def test_an_address_is_the_same_over_every_wire(peer: str, host: str) -> None:
    assert host_of(peer) == host

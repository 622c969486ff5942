"""Servers that are asked one request at a time, in turns."""

from __future__ import annotations

from loadtests.bench.idle import TURN_REQUESTS, WARM_UP_REQUESTS, added_times

A_TURN = WARM_UP_REQUESTS + TURN_REQUESTS


class Machine:
    """A clock that moves only while a request is answered, by ``pace`` milliseconds a request."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pace = 1.0
        self.asked = ""

    def clock(self) -> float:
        return self.now


class Server:
    def __init__(self, machine: Machine, name: str, times: float = 1.0, cold_ms: float = 0.0) -> None:
        """The first ``WARM_UP_REQUESTS`` of every turn take ``cold_ms`` more."""
        self._machine, self._name, self._times, self._cold_ms = machine, name, times, cold_ms
        self._count = 0

    def prepare(self) -> None:
        self._machine.now += 5.0  # never in a figure

    def ask(self) -> None:
        cold_ms = self._cold_ms if self._count % A_TURN < WARM_UP_REQUESTS else 0.0
        self._count += 1
        self._machine.asked += self._name
        self._machine.now += (self._machine.pace * self._times + cold_ms) / 1000

    def compute_ms(self) -> float:
        return 0.25


class Slowing(Server):
    """The machine takes three times as long for everything once this was asked for two of its three turns."""

    def ask(self) -> None:
        super().ask()
        if self._count == 2 * A_TURN:
            self._machine.pace = 3.0


def test_servers_take_turns_until_each_was_asked_as_often_as_wanted() -> None:
    machine = Machine()
    a, b = Server(machine, "a"), Server(machine, "b")

    found = added_times({("a", "REST"): a, ("b", "gRPC"): b}, 2 * TURN_REQUESTS, machine.clock)

    assert machine.asked == ("a" * A_TURN + "b" * A_TURN) * 2
    assert [(one.server, one.wire, one.requests) for one in found] == [("a", "REST", 500), ("b", "gRPC", 500)]


def test_a_quantile_is_that_of_the_requests_of_all_turns() -> None:
    machine = Machine()
    b = Slowing(machine, "b", times=2.0)

    (found,) = added_times({("b", "REST"): b}, 3 * TURN_REQUESTS, machine.clock)

    assert [round(ms, 6) for ms in (found.seen_p50_ms, found.added_p50_ms, found.added_p99_ms)] == [2.0, 1.75, 5.75]


def test_the_first_requests_of_every_turn_do_not_count() -> None:
    machine = Machine()

    (found,) = added_times({("a", "REST"): Server(machine, "a", cold_ms=100.0)}, 2 * TURN_REQUESTS, machine.clock)

    assert round(found.added_p99_ms, 6) == 0.75

from __future__ import annotations

from workers.child import ChildState
from workers.restart import LOAD_FAILED, RECYCLE


def group() -> ChildState:
    state = ChildState(name="g", parts=("g/0", "g/1"))
    state.born(1)
    return state


def test_a_group_is_ready_when_all_its_workers_are() -> None:
    state = group()
    state.apply({"event": "ready", "worker": "g/0", "pid": 2})
    assert not state.is_ready
    state.apply({"event": "ready", "worker": "g/1", "pid": 3})

    assert state.is_ready


def test_a_group_that_lost_a_worker_is_not_ready_until_it_is_back() -> None:
    state = group()
    for worker in ("g/0", "g/1"):
        state.apply({"event": "ready", "worker": worker})
    state.apply({"event": "exited", "worker": "g/1", "pid": 3, "status": -9})
    assert (state.is_ready, state.reason) == (False, "g/1 exited with status -9")
    state.apply({"event": "ready", "worker": "g/1"})

    assert (state.is_ready, state.reason) == (True, "")


def test_only_a_second_fork_of_a_worker_is_a_restart() -> None:
    state = group()
    for worker in ("g/0", "g/1", "g/1"):
        state.apply({"event": "forked", "worker": worker, "pid": 4})

    assert state.part_restarts == 1


def test_the_workers_of_a_group_that_starts_anew_are_not_restarts_of_their_own() -> None:
    state = group()
    for _ in range(2):
        for worker in ("g/0", "g/1"):
            state.apply({"event": "forked", "worker": worker, "pid": 4})
        state.died(-9, is_stopping=False)
        state.born(2)

    assert state.part_restarts == 0


def test_forks_of_an_earlier_life_are_still_counted() -> None:
    state = group()
    for _ in range(2):
        for worker in ("g/0", "g/1", "g/1"):
            state.apply({"event": "forked", "worker": worker, "pid": 4})
        state.born(2)

    assert state.part_restarts == 2


def test_a_dead_group_has_no_ready_workers() -> None:
    state = group()
    state.apply({"event": "ready", "worker": "g/0"})
    state.died(1, is_stopping=False)

    assert (state.ready, state.phase, state.reason) == (set(), "waiting", "exited with status 1")


def test_the_reason_of_a_failed_load_outlives_the_process() -> None:
    state = group()
    state.apply({"event": "failed", "error": "expected a folder"})
    state.died(LOAD_FAILED, is_stopping=False)

    assert (state.phase, state.reason) == ("failed", "expected a folder")


def test_what_a_process_said_of_its_failure_goes_before_its_status() -> None:
    state = group()
    state.apply({"event": "failed", "error": "port 8443 is taken"})
    state.died(2, is_stopping=False)

    assert (state.phase, state.reason) == ("waiting", "port 8443 is taken")


def test_a_recycled_group_has_nothing_to_explain() -> None:
    state = group()
    state.died(RECYCLE, is_stopping=False)

    assert (state.phase, state.reason) == ("waiting", "")


def test_an_unknown_event_changes_nothing() -> None:
    state = group()
    state.apply({"event": "weather", "worker": "g/0"})

    assert state.phase == "starting"

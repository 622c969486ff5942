"""
From what runs to what is wanted: real processes, gateways on real sockets, and everything that can go wrong between.
"""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway.control.disk import beside
from gateway.control.source import SourceUnavailable
from gateway.core.errors import ConfigError, NotReady
from gateway.pool.config import PoolConfig
from tests.support.change import changing, loaded


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a short path: sockets will lie in it."""
    return tmp_path_factory.mktemp("c")


# --- as it should be -------------------------------------------------------------------------------------------------


async def test_weights_change_without_a_process_being_touched(folder: Path) -> None:
    async with changing(folder, blue="good", green="good") as change:
        before = [state.pid for state in change.supervisor.states]
        change.offer(2, weight=30, blue="good", green="good")
        await change.settled(2)

        assert [state.pid for state in change.supervisor.states] == before
        assert change.committed.version == 2
        assert change.committed.endpoints["price"]["traffic"] == {"blue": 30, "green": 70}
        assert change.gateways["0"].version == 2


async def test_gateways_are_told_in_three_steps_with_the_file_in_the_middle(folder: Path) -> None:
    async with changing(folder, gateways=2, blue="good") as change:
        change.offer(2, blue="good", green="good")
        await change.settled(2)
        prepared, after = change.history[1:3], change.history[3:]

        assert change.history[0] == "follower prepares of 1"
        assert sorted(prepared) == ["0 prepares 2 of 1", "1 prepares 2 of 1"]
        assert sorted(after[:-1]) == ["0 commits 2 of 2", "1 commits 2 of 2"]
        assert after[-1] == "follower installs of 2"


async def test_no_gateway_hears_of_a_group_before_it_has_loaded(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        change.offer(2, blue="good", green="slow")
        group = await change.loading("price/green")
        told, status = list(change.history), change.status
        loaded(group)
        await change.settled(2)

        assert told == []
        assert (status["phase"], status["waiting_for"], status["running"]) == ("starting", ["price/green"], 1)
        assert change.committed.plan["price"].keys() == {"blue", "green"}
        assert change.status["phase"] == "settled"


async def test_what_loads_beside_others_gets_its_priority_before_a_gateway_hears_of_it(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        given_back: list[int] = []
        change.gateways["0"].on_prepare = lambda: given_back.extend(change.ended_gentleness)
        change.offer(2, blue="good", green="good")
        await change.settled(2)

        assert given_back == [change.running()["price/green"].pid]


async def test_on_a_machine_without_a_moment_to_spare_loading_is_gentle_for_so_long_only(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        change.offer(2, blue="good", green="slow")
        group = await change.loading("price/green")
        change.time.now += 61
        change.groups.note()
        while not change.ended_gentleness:
            await change.time.pause(0)

        assert group.state.phase == "loading"


async def test_the_probes_and_the_admin_api_call_a_phase_the_same(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        gateway = change.gateways["0"]
        told = [(change.status["phase"], change.convergence.progress.phase)]
        gateway.on_prepare = lambda: told.append((change.status["phase"], change.convergence.progress.phase))
        change.offer(2, blue="good", green="slow")
        group = await change.loading("price/green")
        told.append((change.status["phase"], change.convergence.progress.phase))
        loaded(group)
        await change.settled(2)

        assert told == [("settled", "settled"), ("starting", "starting"), ("preparing", "preparing")]


async def test_what_is_replaced_leaves_behind_all_others(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        old = change.running()["price/blue"].pid
        change.offer(2, blue="good too")
        await change.settled(2)

        assert change.stepped_back == [old]


async def test_a_replaced_group_serves_until_no_request_is_with_it(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        gateway, old = change.gateways["0"], change.supervisor.children(1)[0]
        address = change.committed.plan["price"]["blue"][0]
        gateway.draining = [address]
        change.offer(2, blue="good too")
        await change.until(lambda: change.convergence.progress.running == 2)
        while_draining = (change.convergence.progress.phase, old.state.is_ready, address in change.sockets)
        gateway.draining = []
        await change.settled(2)

        assert while_draining == ("draining", True, True)
        assert change.stopped == ["price/blue"]
        assert address not in change.sockets
        assert len(change.supervisor.children(1)) == 1


async def test_a_request_that_never_ends_does_not_keep_an_old_group_for_ever(folder: Path) -> None:
    async with changing(folder, blue="good", green="good") as change:
        change.gateways["0"].draining = list(change.committed.plan["price"]["green"])
        change.time.flies = True
        change.offer(2, blue="good")
        with capture_logs() as logs:
            await change.settled(2)

        assert change.stopped == ["price/green"]
        assert "control.still_draining" in [each["event"] for each in logs]


async def test_an_old_group_leaves_when_nobody_uses_it_although_a_gateway_says_another_version(folder: Path) -> None:
    async with changing(folder, blue="good", green="good") as change:
        change.gateways["0"].says = 1
        change.offer(2, blue="good")
        await change.settled(2)

        assert change.stopped == ["price/green"]


async def test_models_do_not_pile_up_in_memory_when_changes_come_quickly(folder: Path) -> None:
    async with changing(folder, blue="good", green="good") as change:
        change.gateways["0"].draining = list(change.committed.plan["price"]["green"])
        change.offer(2, blue="good")
        await change.until(lambda: change.convergence.progress.phase == "draining")
        change.offer(3, blue="good", red="good")
        await change.until(lambda: change.status["phase"] == "starting")
        change.gateways["0"].draining = []
        await change.settled(3)

        assert change.lives.index(("price/green", "stopped")) < change.lives.index(("price/red", "starting"))
        assert change.running().keys() == {"price/blue", "price/red"}


async def test_a_version_that_says_the_same_is_only_a_new_number(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        before = [state.pid for state in change.supervisor.states]
        change.offer(7, blue="good")
        await change.settled(7)

        assert [state.pid for state in change.supervisor.states] == before
        assert await change.outcome(7) == "running"


# --- refused whole ---------------------------------------------------------------------------------------------------


async def test_one_gateway_that_refuses_is_enough(folder: Path) -> None:
    async with changing(folder, gateways=2, blue="good") as change:
        change.gateways["1"].refuses = ConfigError("price/green", "does not fit")
        with capture_logs() as logs:
            change.offer(2, blue="good", green="good")
            reason = await change.refused(2)

        assert reason == "gateway 1: price/green: does not fit"
        assert change.committed.version == 1
        assert [gateway.prepared for gateway in change.gateways.values()] == [None, None]
        assert change.running().keys() == {"price/blue"}
        assert [(each["event"], each["version"]) for each in logs if each["log_level"] == "error"] == [
            ("control.refused", 2)
        ]


async def test_not_now_of_a_gateway_is_no_refusal_and_is_tried_again_and_told_once_a_minute(folder: Path) -> None:
    async with changing(folder, gateways=2, blue="good") as change:
        busy = change.gateways["1"]
        busy.refuses = NotReady("the feature store does not answer")
        with capture_logs() as logs:
            change.offer(2, blue="good", green="good")
            await change.until(lambda: change.history.count("1 prepares 2 of 1") == 3)
            told = [each["reason"] for each in logs if each["event"] == "control.waiting"]
            begun = [each["event"] for each in logs].count("control.converging")
        meanwhile, group = change.convergence.progress, change.running()["price/green"].pid
        busy.refuses = None
        await change.settled(2)

        assert (told, begun) == (["gateway 1: the feature store does not answer"], 1)
        assert (meanwhile.refused, meanwhile.problem, meanwhile.running) == (None, told[0], 1)
        assert change.running()["price/green"].pid == group
        assert change.convergence.progress.problem == ""


async def test_a_disk_that_does_not_answer_is_no_refusal_and_is_tried_again(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        change.disk_trouble = OSError(errno.ETIMEDOUT, "the disk does not answer", "/mnt/m.onnx")
        with capture_logs() as logs:
            change.offer(2, blue="good", green="good")
            await change.until_told(logs, "control.waiting")
        meanwhile = change.convergence.progress
        change.disk_trouble = None
        await change.settled(2)

        assert (meanwhile.refused, meanwhile.running) == (None, 1)
        assert meanwhile.problem == "a file cannot be read: the disk does not answer"


async def test_a_gateway_that_refuses_for_good_counts_more_than_one_that_cannot_say_now(folder: Path) -> None:
    async with changing(folder, gateways=2, blue="good") as change:
        change.gateways["0"].refuses = NotReady("later")
        change.gateways["1"].refuses = ConfigError("price/green", "does not fit")
        change.offer(2, blue="good", green="good")

        assert await change.refused(2) == "gateway 1: price/green: does not fit"


async def test_gateways_are_not_asked_before_a_group_that_gets_traffic_is_loaded(folder: Path) -> None:
    async with changing(folder, is_ready=False, blue="slow", green="good") as change:
        group = await change.loading("price/blue")
        change.offer(2, weight=0, blue="slow", green="good")
        await change.settled(2)
        asked = len(change.history)
        change.offer(3, weight=50, blue="slow", green="good")
        await change.until(lambda: change.status["waiting_for"] == ["price/blue"])
        asked_while_loading = len(change.history)
        loaded(group)
        await change.settled(3)

        assert asked_while_loading == asked
        assert change.stopped == []


async def test_what_was_refused_because_files_of_a_model_were_missing_runs_when_they_have_come(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        model = folder / "good too.onnx"
        model.unlink()
        change.offer(2, blue="good too")
        reason = await change.refused(2)
        model.touch()
        change.source.break_with(None)  # tells of a change, and gives the same document
        await change.settled(2)

        assert reason == f"endpoints.price.deployments.blue.model: {model} does not exist"
        assert change.status["reason"] == ""


async def test_what_was_refused_is_tried_again_only_as_another_version_or_with_another_content(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        gateway = change.gateways["0"]
        gateway.refuses = ConfigError("price", "no")
        change.offer(2, weight=50, blue="good", green="good")
        await change.refused(2)
        asked = len(change.history)
        gateway.refuses = None
        change.offer(2, weight=50, blue="good", green="good")
        change.convergence._news.set()  # as if there were something to do
        while change.convergence._news.is_set():
            await change.time.pause(0)
        asked_again, reason = len(change.history), change.status["reason"]
        change.offer(3, weight=50, blue="good", green="good")
        await change.settled(3)

        assert (asked_again, reason) == (asked, "gateway 0: price: no")
        assert change.status["reason"] == ""


async def test_a_model_that_does_not_load_is_the_reason_and_takes_the_others_with_it(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        change.offer(2, blue="good", green="broken", red="slow")
        reason = await change.refused(2)

        assert reason == "price/green: no such column"
        assert change.running().keys() == {"price/blue"}
        assert change.history == []
        assert len(change.sockets) == 1


async def test_a_process_that_keeps_dying_while_it_loads_is_given_up(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        change.offer(2, blue="good", green="dying")
        reason = await change.refused(2)

        assert reason == "price/green: killed by SIGSEGV, 3 times in a row"


async def test_loading_has_an_end(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        change.offer(2, blue="good", green="slow")
        await change.loading("price/green")
        change.time.now += 601
        change.groups.note()

        assert await change.refused(2) == "price/green: not loaded after 600 s"


async def test_what_cannot_be_composed_starts_nothing(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        change.offer(2, blue="good", green="missing")
        reason = await change.refused(2)

        assert reason.startswith("endpoints.price.deployments.green.model: ")
        assert change.status["running"] == 1


async def test_a_path_that_no_file_system_takes_is_refused_like_any_other(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        change.offer(2, blue="x" * 300)

        assert (await change.refused(2)).endswith("cannot be read: File name too long")


async def test_a_part_of_the_supervisor_may_refuse_too(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        change.follower.refuses = ConfigError("features", "no server")
        change.offer(2, blue="good", green="good")

        assert await change.refused(2) == "features: no server"
        assert change.history == ["follower prepares of 1"]


async def test_a_file_that_cannot_be_written_changes_nothing(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        beside(folder / "served.json").mkdir()
        change.offer(2, weight=40, blue="good", green="good")
        reason = await change.refused(2)

        assert reason.endswith("served.json: cannot be written: Is a directory")
        assert change.history[-1] == "0 abandons"
        assert change.gateways["0"].version == 1


async def test_going_back_to_what_runs_ends_a_refusal(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        change.offer(2, blue="missing")
        await change.refused(2)
        change.offer(1, blue="good")
        await change.until(lambda: change.convergence.progress.refused is None)

        assert change.status["reason"] == ""


# --- something newer -------------------------------------------------------------------------------------------------


async def test_something_newer_stops_what_loads_for_nothing(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        change.offer(2, blue="good", green="slow")
        await change.loading("price/green")
        change.offer(3, blue="good", red="good")
        await change.settled(3)

        assert change.stopped == ["price/green"]
        assert change.running().keys() == {"price/blue", "price/red"}
        assert await change.outcome(2) == "superseded"


async def test_something_newer_that_wants_it_too_does_not_make_a_model_load_again(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        change.offer(2, blue="good", green="slow")
        group = await change.loading("price/green")
        change.offer(3, weight=50, blue="good", green="slow")
        await change.until(lambda: change.status["desired"]["version"] == 3)
        loaded(group)
        await change.settled(3)

        assert change.stopped == []
        assert change.running()["price/green"].pid == group.state.pid
        assert [call for call in change.history if "prepares 2" in call] == []


async def test_going_back_to_what_runs_stops_what_loads(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        change.offer(2, blue="good", green="slow")
        await change.loading("price/green")
        change.offer(1, blue="good")
        await change.until(lambda: change.stopped == ["price/green"])
        await change.settled(1)

        assert change.status["phase"] == "settled"
        assert change.history == []


async def test_something_newer_does_not_wait_for_rows_that_only_the_older_one_wants(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        change.follower.is_done.clear()
        change.offer(2, weight=50, blue="good", green="good")
        await change.until(lambda: change.status["phase"] == "preparing")
        change.offer(3, weight=20, blue="good", green="good")
        while change.history.count("follower prepares of 1") < 2:
            await change.time.pause(0)
        change.follower.is_done.set()
        await change.settled(3)

        assert [call for call in change.history if "prepares 2" in call] == []


async def test_loading_the_rows_of_views_has_an_end(folder: Path) -> None:
    async with changing(folder, blue="good", green="good") as change:
        change.follower.is_done.clear()
        change.settings = msgspec.structs.replace(change.settings, pool=PoolConfig(load_timeout_ms=1))
        change.offer(2, weight=50, blue="good", green="good")

        assert await change.refused(2) == "features: not loaded after 0.001 s"


async def test_what_comes_while_gateways_prepare_is_done_next(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        change.gateways["0"].on_prepare = lambda: (
            change.offer(3, weight=20, blue="good", green="good") if change.committed.version == 1 else None
        )
        change.offer(2, weight=50, blue="good", green="good")
        await change.settled(3)

        assert [call for call in change.history if "commits" in call] == ["0 commits 2 of 2", "0 commits 3 of 3"]


# --- processes that die ----------------------------------------------------------------------------------------------


async def test_a_gateway_that_is_not_there_is_left_out_and_begins_with_the_new_version(folder: Path) -> None:
    async with changing(folder, gateways=2, blue="good") as change:
        absent = change.gateways["1"]
        await absent.vanish()
        change.supervisor.children(0)[1].state.phase = "waiting"
        change.time.flies = True
        change.offer(2, blue="good", green="good")
        await change.until(lambda: change.convergence.progress.running == 2)
        meanwhile = change.status["gateways"]
        await absent.listen()
        change.supervisor.children(0)[1].state.phase = "ready"
        change.versions.note()
        outcome = await change.outcome(2)

        assert meanwhile == {"0": 2, "1": None}
        assert (outcome, change.status["gateways"]) == ("running", {"0": 2, "1": 2})


async def test_a_gateway_that_comes_back_in_time_prepares_like_the_others(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        gateway = change.gateways["0"]
        await gateway.vanish()
        change.offer(2, weight=50, blue="good", green="good")
        await change.until(lambda: change.status["phase"] == "preparing")
        await gateway.listen()
        await change.settled(2)

        assert "0 prepares 2 of 1" in change.history


async def test_without_any_gateway_nothing_is_committed_and_it_is_tried_until_there_is_one(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        gateway = change.gateways["0"]
        await gateway.vanish()
        change.supervisor.children(0)[0].state.phase = "waiting"
        change.time.flies = True
        change.offer(2, blue="good", green="good")
        await change.until(lambda: change.convergence.progress.problem != "")
        reason, refused = change.status["reason"], change.convergence.progress.refused
        committed, group = change.committed.version, change.running()["price/green"].pid
        await gateway.listen()
        change.supervisor.children(0)[0].state.phase = "ready"
        await change.settled(2)

        assert (reason, refused, committed) == ("no gateway answers", None, 1)
        assert change.running()["price/green"].pid == group


async def test_a_gateway_that_dies_between_the_file_and_the_call_begins_with_the_new_version(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        gateway = change.gateways["0"]
        dying = asyncio.Event()

        def die() -> None:
            dying.set()
            raise asyncio.CancelledError  # the connection ends without an answer

        gateway.on_commit = die
        change.offer(2, blue="good", green="good")
        await dying.wait()
        await gateway.vanish()
        pid = change.supervisor.children(0)[0].state.pid
        assert pid is not None
        os.kill(pid, 9)
        await change.until(lambda: change.supervisor.children(0)[0].state.restarts == 1)
        await gateway.listen()
        outcome = await change.outcome(2)

        assert outcome == "running"
        assert change.status["phase"] == "settled"


async def test_a_gateway_that_stays_behind_is_started_again_and_no_other(folder: Path) -> None:
    async with changing(folder, gateways=2, blue="good") as change:
        behind = change.gateways["1"]

        def deaf() -> None:
            raise ConfigError("commit", "not now")

        behind.on_commit = deaf
        change.time.flies = True
        change.offer(2, blue="good", green="good")
        with capture_logs() as logs:
            await change.until(lambda: change.supervisor.children(0)[1].state.restarts == 1)
        await behind.vanish()
        await behind.listen()
        outcome = await change.outcome(2)

        assert outcome == "running"
        assert change.supervisor.children(0)[0].state.restarts == 0
        assert [each["gateway"] for each in logs if each["event"] == "control.gateway_renewed"] == ["1"]


async def test_a_gateway_that_hangs_is_left_out_and_started_again(folder: Path) -> None:
    async with changing(folder, gateways=2, blue="good") as change:
        await change.gateways["1"].vanish()  # its process is there all the same
        change.time.flies = True
        change.offer(2, blue="good", green="good")
        with capture_logs() as logs:
            await change.until(lambda: change.convergence.progress.running == 2)
            await change.until(lambda: change.supervisor.children(0)[1].state.restarts >= 1)

        assert {"control.gateway_left_out", "control.gateway_renewed"} <= {each["event"] for each in logs}
        assert change.supervisor.children(0)[0].state.restarts == 0


async def test_stopping_in_the_middle_leaves_no_process_and_the_old_version(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        change.offer(2, blue="good", green="slow")
        group = await change.loading("price/green")
        gone = os.pidfd_open(group.state.pid or 0)

    with suppress(ProcessLookupError):
        os.close(gone)
    assert {state.phase for state in change.supervisor.states} == {"stopped"}
    assert change.committed.version == 1


# --- the source ------------------------------------------------------------------------------------------------------


async def test_while_the_source_does_not_answer_what_runs_goes_on_and_it_is_told_once(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        with capture_logs() as logs:
            change.source.break_with(SourceUnavailable("the Redis does not answer"))
            await change.until_told(logs, "control.source_unavailable")
            await change.time.pause(0)
            change.source.break_with(None)
            change.offer(2, weight=10, blue="good", green="good")
            await change.settled(2)

        assert [each["event"] for each in logs].count("control.source_unavailable") == 1


async def test_what_is_no_document_is_told_until_it_is_one(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        with capture_logs() as logs:
            change.source.break_with(ConfigError("price.yaml", "line 3"))
            await change.until(lambda: change.status["reason"] != "")
            meanwhile = change.status
            change.source.break_with(None)
            await change.until(lambda: change.status["reason"] == "")
        told = [each for each in logs if each["log_level"] == "error"]

        assert (meanwhile["reason"], meanwhile["running"]) == ("price.yaml: line 3", 1)
        assert [(each["event"], each["reason"]) for each in told] == [("control.unreadable", "price.yaml: line 3")]


async def test_a_version_that_loads_is_not_refused_by_a_file_that_breaks_meanwhile(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        change.offer(2, blue="good", green="slow")
        group = await change.loading("price/green")
        change.source.break_with(ConfigError("price.yaml", "line 3"))
        await change.until(lambda: change.status["reason"] != "")
        meanwhile = change.convergence.progress
        loaded(group)

        assert (meanwhile.refused, meanwhile.problem) == (None, "price.yaml: line 3")
        assert await change.outcome(2) == "running"


async def test_who_wanted_it_stands_in_the_status(folder: Path) -> None:
    async with changing(folder, blue="good") as change:
        change.offer(2, blue="missing")
        await change.refused(2)

        assert change.status["desired"] == {"version": 2, "at": 5.0, "by": "ada", "what": "a test"}
        assert await change.outcome(2) == "refused"

"""What is shown of the desired state, and to whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.control.diff import Change
from gateway.core.errors import ConfigError
from tests.support.admin_state import AdminState, serving_state


async def test_the_whole_state_comes_with_its_version(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        reply = await admin.ask("GET", "/state")

        assert reply.headers["ETag"] == '"1"'
        assert reply.json["endpoints"] == {"price": admin.price, "tumor": admin.tumor}
        assert reply.json["entry"] == {"version": 1, "at": 0.0, "by": "files", "what": "start"}
        assert set(reply.json["models"]) == {admin.model(name) for name in ("blue", "green", "tumor")}


async def test_nobody_sees_what_they_may_not_read(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        key = await admin.made("ci", "read", endpoints=["tumor"])
        state = (await admin.ask("GET", "/state", key=key)).json
        workers = (await admin.ask("GET", "/workers", key=key)).json
        models = (await admin.ask("GET", "/models", key=key)).json
        others = [
            (await admin.ask("GET", path, key=key)).status
            for path in ("/endpoints/price", "/endpoints/price/traffic", "/history", "/history/1")
        ]

        assert (list(state["endpoints"]), list(state["models"])) == (["tumor"], [admin.model("tumor")])
        assert [worker["name"] for worker in workers] == ["gateway/0", "tumor/blue"]
        assert [model["name"] for model in models] == ["tumor"]
        assert others == [403, 403, 403, 403]


@pytest.mark.parametrize("path", ["/state", "/status", "/endpoints", "/history", "/workers", "/models", "/endpoints/x"])
async def test_nothing_is_shown_without_a_key(tmp_path: Path, path: str) -> None:
    async with serving_state(tmp_path) as admin:
        replies = [await admin.ask("GET", path, key=key) for key in (None, "lg_wrong")]

        assert [(reply.status, reply.code) for reply in replies] == [(401, "Unauthorized")] * 2


async def test_an_endpoint_is_shown_as_its_file_says_and_can_be_sent_back(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        reply = await admin.ask("GET", "/endpoints/price")
        back = await admin.ask("PUT", "/endpoints/price", reply.json, seen=reply.headers["ETag"])

        assert reply.json == admin.price
        assert (back.status, back.json["changes"], back.json["version"]) == (200, [], 1)


async def test_the_list_says_how_each_deployment_does(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        price, tumor = (await admin.ask("GET", "/endpoints")).json

        assert price["deployments"]["blue"] == {
            "model": admin.model("blue"),
            "weight": 90,
            "mirror": 0,
            "ready": True,
            "reason": "",
        }
        assert price["deployments"]["green"]["reason"] == "no such column"
        assert tumor["deployments"]["blue"]["weight"] == 100


async def test_the_list_is_of_what_runs_and_not_of_what_was_refused(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        await admin.ask("PUT", "/endpoints/price/deployments/blue", {"model": admin.model("next")}, seen="*")
        admin.running.refuses(2, "no such column")
        price, _ = (await admin.ask("GET", "/endpoints")).json
        wanted = (await admin.ask("GET", "/endpoints/price")).json

        assert price["deployments"]["blue"]["model"] == admin.model("blue")
        assert wanted["deployments"]["blue"]["model"] == admin.model("next")


async def test_a_version_that_runs_and_is_not_kept_any_more_is_no_reason_to_show_nothing(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        admin.running.runs(77)
        reply = await admin.ask("GET", "/endpoints")

        assert [endpoint["name"] for endpoint in reply.json] == ["price", "tumor"]


async def test_the_list_of_what_runs_is_told_while_the_source_is_broken(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        admin.source.broken = ConfigError("price.yaml, line 3", "expected YAML")
        endpoints, models = await admin.ask("GET", "/endpoints"), await admin.ask("GET", "/models")

        assert [endpoint["name"] for endpoint in endpoints.json] == ["price", "tumor"]
        assert {model["name"] for model in models.json} == {"price", "tumor"}


async def test_nothing_is_listed_while_the_source_is_broken_and_what_runs_is_not_kept(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        admin.source.broken = ConfigError("price.yaml, line 3", "expected YAML")
        admin.running.runs(77)
        reply = await admin.ask("GET", "/endpoints")

        assert (reply.status, reply.code) == (503, "SourceUnavailable")


async def test_traffic_and_mirror_name_the_percentages(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        await admin.ask("PUT", "/endpoints/tumor/deployments/next", {"model": admin.model("next")}, seen="*")
        await admin.ask("PUT", "/endpoints/tumor/mirror", {"next": 30})
        found = [(await admin.ask("GET", f"/endpoints/tumor/{what}")).json for what in ("traffic", "mirror")]

        assert found == [{"blue": 100, "next": 0}, {"next": 30}]


async def test_a_model_that_was_unloaded_is_unavailable(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        await admin.ask("POST", "/models/price/unload")
        admin.running.runs(2)
        models = {(each["name"], each["version"]): each for each in (await admin.ask("GET", "/models")).json}

        assert models["price", "blue"] == {
            "name": "price",
            "version": "blue",
            "state": "UNAVAILABLE",
            "reason": "unloaded",
        }
        assert models["tumor", "blue"]["state"] == "LOADING"


async def test_status_tells_what_runs_what_is_wanted_and_what_was_refused(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        await admin.ask("PUT", "/endpoints/price/traffic", {"blue": 100})
        admin.running.refuses(2, "no such model")
        status = (await admin.ask("GET", "/status")).json

        assert (status["newest"]["version"], status["newest"]["by"]) == (2, "admin")
        assert status["progress"]["running"] == 1
        assert status["progress"]["refused"] == {"version": 2, "reason": "no such model"}


async def test_status_is_told_while_the_source_is_gone_or_broken(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        admin.source.is_gone = True
        gone = (await admin.ask("GET", "/status")).json
        admin.source.is_gone = False
        admin.source.broken = ConfigError("price.yaml, line 3", "expected YAML")
        broken = (await admin.ask("GET", "/status")).json
        state = await admin.ask("GET", "/state")

        assert (gone["newest"], gone["problem"], gone["progress"]["running"]) == (None, "nobody answers", 1)
        assert broken["problem"] == "what is there now cannot be read: price.yaml, line 3: expected YAML"
        assert (state.status, state.code) == (503, "SourceUnavailable")


async def test_history_is_newest_first_and_as_long_as_was_asked_for(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        for blue in (80, 70, 60):
            await admin.ask("PUT", "/endpoints/price/traffic", {"blue": blue, "green": 100 - blue})
        history = (await admin.ask("GET", "/history?limit=2")).json

        assert [(entry["version"], entry["what"]) for entry in history["entries"]] == [
            (4, "traffic of price: blue 60, green 40"),
            (3, "traffic of price: blue 70, green 30"),
        ]
        assert history["running"] == 1


async def test_history_says_which_version_was_refused_and_why(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        await admin.ask("PUT", "/endpoints/price/traffic", {"blue": 80, "green": 20})
        admin.running.refuses(2, "price/blue does not load")
        history = (await admin.ask("GET", "/history")).json

        assert [(entry["version"], entry["refused"]) for entry in history["entries"]] == [
            (2, "price/blue does not load"),
            (1, ""),
        ]


async def test_history_says_also_of_earlier_versions_that_they_were_refused(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        for blue in (80, 70, 60):
            await admin.ask("PUT", "/endpoints/price/traffic", {"blue": blue, "green": 100 - blue})
        for refused in (2, 3):
            admin.ran.note(1, refused=refused)
        admin.running.refuses(3, "price/blue does not load")
        history = (await admin.ask("GET", "/history")).json

        assert {entry["version"]: entry["refused"] for entry in history["entries"]} == {
            4: "",
            3: "price/blue does not load",
            2: "for a reason that is not kept",
            1: "",
        }


async def test_a_past_version_says_what_going_back_would_change(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        await admin.ask("DELETE", "/endpoints/tumor", seen='"1"')
        reply = await admin.ask("GET", "/history/1")

        assert reply.json["state"]["endpoints"]["tumor"] == admin.tumor
        assert reply.json["changes"] == [{"what": "endpoint", "name": "tumor", "verb": "added", "effect": "start"}]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/history/99", 404),
        ("/history/last", 400),
        ("/history/" + "9" * 40, 400),
        ("/history?limit=0", 400),
        ("/history?limit=1001", 400),
        ("/endpoints/nope", 404),
        ("/endpoints/nope/traffic", 404),
        ("/endpoints/price/deployments/nope", 404),
    ],
)
async def test_what_is_not_there_is_said_to_be_so(tmp_path: Path, path: str, status: int) -> None:
    async with serving_state(tmp_path) as admin:
        assert (await admin.ask("GET", path)).status == status


async def changes_of(admin: AdminState, path: str, endpoints: object) -> tuple[list[dict[str, object]], str]:
    reply = await admin.ask("POST", path, {"endpoints": endpoints})
    assert reply.status == 200
    return reply.json["changes"], reply.json["problem"]


async def test_a_difference_is_told_and_nothing_is_changed(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        price = {**admin.price, "traffic": {"blue": 80, "green": 20}}
        part, _ = await changes_of(admin, "/diff", {"price": price})
        whole, _ = await changes_of(admin, "/diff?whole=true", {"price": price})

        assert [change["name"] for change in part] == ["price", "price"]
        assert [(change["name"], change["verb"]) for change in whole][2:] == [("tumor", "removed")]
        assert admin.newest.version == 1
        assert (
            set(part[0])
            == {"what", "name", "verb", "effect", "field", "before", "after"}
            == set(Change.__struct_fields__)
        )


async def test_a_difference_that_would_be_refused_says_why(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        _, problem = await changes_of(admin, "/diff", {"price": {**admin.price, "trafic": {}}})

        assert problem.startswith("endpoints.price: ")
        assert "trafic" in problem


async def test_files_that_were_replaced_are_a_difference(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        admin.replace_files("blue")
        ((change,), _) = await changes_of(admin, "/diff", {"price": admin.price})

        assert (change["name"], change["field"], change["effect"]) == ("price/blue", "model files", "replace")

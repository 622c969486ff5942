"""Which files the admin API looks at, for whom: a model is code, and its path is whatever was sent."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.admin_state import AdminState, Reply, serving_state


def with_model(model: str) -> dict[str, Any]:
    return {"deployments": {"blue": {"model": model}}}


async def put(admin: AdminState, model: str, key: str = "") -> Reply:
    return await admin.ask("PUT", "/endpoints/price", with_model(model), key, seen="*")


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Models that digests were asked for."""
    found: list[str] = []

    def digests(_: object, endpoints: Mapping[str, Any]) -> dict[str, str]:
        found.extend(each["model"] for settings in endpoints.values() for each in settings["deployments"].values())
        return {}

    monkeypatch.setattr("gateway.control.model_files.ModelFiles.digests", digests)
    return found


async def test_who_may_only_look_makes_nobody_look_at_files(tmp_path: Path, looks: list[str]) -> None:
    async with serving_state(tmp_path) as admin:
        looks.clear()
        for roles in ("score", "read"):
            key = await admin.made(roles, roles, endpoints=["price"])
            answers = [
                (await admin.ask("POST", "/diff", {"endpoints": {"price": with_model(path)}}, key)).json
                for path in (admin.model("next"), admin.model("no-such"))
            ]

            assert [answer["problem"] for answer in answers] == ["", ""]
            assert [len(answer["changes"]) for answer in answers] == [4, 4]
        assert looks == []


async def test_who_deploys_one_endpoint_has_no_files_of_others_looked_at(tmp_path: Path, looks: list[str]) -> None:
    async with serving_state(tmp_path) as admin:
        looks.clear()
        key = await admin.made("ci", "deploy", endpoints=["price"])
        both = {"price": with_model(admin.model("next")), "tumor": with_model(admin.model("next"))}
        replies = [await admin.ask("POST", f"/diff{query}", {"endpoints": both}, key) for query in ("", "?whole=true")]

        assert ([reply.status for reply in replies], looks) == ([403, 403], [])


@pytest.mark.parametrize("path", ["/dev/zero", "/etc/passwd", "/no/such/file", "/"])
async def test_a_model_elsewhere_is_refused_alike_whether_it_is_there_or_not(
    tmp_path: Path, looks: list[str], path: str
) -> None:
    async with serving_state(tmp_path) as admin:
        looks.clear()
        reply = await put(admin, path)
        difference = await admin.ask("POST", "/diff", {"endpoints": {"price": with_model(path)}})

        assert (reply.status, looks) == (400, [])
        assert reply.message == (
            "endpoints.price.deployments.blue.model: expected a model below the served folder, or beside one that is"
            " served; control.models in lockgate.yaml names other folders"
        )
        assert difference.json["problem"] == reply.message


async def test_a_link_is_what_it_leads_to(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (admin.models / "link").symlink_to(elsewhere)
        (admin.models / "inside").symlink_to(admin.models / "next")

        assert (await put(admin, admin.model("link"))).status == 400
        assert (await put(admin, admin.model("inside"))).status == 202


async def test_the_served_folder_is_for_models_and_so_are_those_that_were_set(tmp_path: Path) -> None:
    for each in ("served", "more"):
        (tmp_path / each / "m").mkdir(parents=True)
        (tmp_path / each / "m" / "model.onnx").touch()
    async with serving_state(tmp_path) as admin:
        assert (await put(admin, str(tmp_path / "served" / "m"))).status == 202
        assert (await put(admin, str(tmp_path / "more" / "m"))).status == 400


async def test_where_folders_are_set_no_other_counts_but_what_an_endpoint_has_may_stay(tmp_path: Path) -> None:
    more = tmp_path / "more"
    (more / "m").mkdir(parents=True)
    (more / "m" / "model.onnx").touch()
    async with serving_state(tmp_path, [more]) as admin:
        statuses = [(await put(admin, model)).status for model in (admin.model("blue"), admin.model("next"))]
        refused = await put(admin, admin.model("next"))

        assert (statuses, (await put(admin, str(more / "m"))).status) == ([202, 400], 202)
        assert "control.models" in refused.message


async def test_new_files_of_a_model_that_two_have_are_for_who_may_deploy_both(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        key = await admin.made("ci", "deploy", endpoints=["price"])
        same = await put(admin, admin.model("tumor"), key)
        before = admin.newest.models[admin.model("tumor")]
        admin.replace_files("tumor")
        refused = [await put(admin, admin.model("tumor"), key), await admin.ask("POST", "/models/price/load", key=key)]
        kept = admin.newest.models[admin.model("tumor")]
        by_both = await put(admin, admin.model("tumor"))

        assert (same.status, [(each.status, each.code) for each in refused]) == (202, [(403, "Forbidden")] * 2)
        assert ("an endpoint that you may not deploy" in refused[0].message, "/blue" in refused[0].message) == (
            True,
            False,
        )
        assert (kept == before, by_both.status) == (True, 202)


@pytest.mark.parametrize("name", ["x" * 300, "x\0y", "loop"])
async def test_a_path_that_cannot_be_looked_at_is_400_and_named(tmp_path: Path, name: str) -> None:
    async with serving_state(tmp_path) as admin:
        (admin.models / "loop").symlink_to("loop")
        reply = await put(admin, admin.model(name))
        view = {"endpoints": {}, "views": {"v": {"seed": admin.model(name)}}}
        seed = await admin.ask("PATCH", "/state", view, seen="*")
        problem = (await admin.ask("POST", "/diff", view)).json["problem"]

        assert (reply.status, reply.message[:38]) == (400, "endpoints.price.deployments.blue.model")
        assert (seed.status, seed.message[:12], problem[:12]) == (400, "views.v.seed", "views.v.seed")


async def test_a_disk_that_does_not_answer_is_503_and_no_wrong_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digests(_: object, __: object) -> dict[str, str]:
        raise OSError(errno.ETIMEDOUT, "the disk does not answer", "/mnt/models")

    async with serving_state(tmp_path) as admin:
        monkeypatch.setattr("gateway.control.model_files.ModelFiles.digests", digests)
        reply = await put(admin, admin.model("next"))

        told = "files cannot be looked at: the disk does not answer; nothing was changed"
        assert (reply.status, reply.message, admin.newest.version) == (503, told, 1)


@pytest.mark.parametrize("named", ["model", "seed"])
async def test_a_path_on_a_disk_that_fails_is_503_and_no_wrong_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    looked = os.stat

    def stat(path: Any, **more: Any) -> Any:
        if str(path).endswith("next"):
            raise OSError(errno.EIO, "Input/output error", path)
        return looked(path, **more)

    async with serving_state(tmp_path) as admin:
        model = admin.model("next")
        monkeypatch.setattr("gateway.control.model_guard.os.stat", stat)
        if named == "model":
            reply = await put(admin, model)
        else:
            view = {"endpoints": {}, "views": {"v": {"seed": model}}}
            reply = await admin.ask("PATCH", "/state", view, seen="*")

        told = "files cannot be looked at: Input/output error; nothing was changed"
        assert (reply.status, reply.message, admin.newest.version) == (503, told, 1)


async def test_what_is_written_is_on_the_audit_trail_also_where_only_the_spelling_differs(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        with capture_logs() as logs:
            for wait in (2, 2.0):
                model = {"model": admin.model("next"), "latency_goal_ms": wait}
                body = {"traffic": {"blue": 100}, "deployments": {"blue": model}}
                await admin.ask("PUT", "/endpoints/price", body, seen="*")
        told = [each["version"] for each in logs if each["event"] == "audit.state_changed"]

        assert told == [each.version for each in admin.source.documents][1:] == [2, 3]

"""Changes of the desired state over the admin API: who may, on which version, and what is never written."""

from __future__ import annotations

import asyncio
import gzip
import io
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.admin_state import serving_state

WEIGHTS = {"blue": 80, "green": 20}


def changes(model: str) -> list[tuple[str, str, Any]]:
    """Every way to change anything."""
    price = {"name": "price", "deployments": {"blue": {"model": model}}}
    return [
        ("PUT", "/state", {"endpoints": {"price": price}}),
        ("PATCH", "/state", {"endpoints": {"price": price}}),
        ("POST", "/rollback", {"version": 1}),
        ("PUT", "/endpoints/price", price),
        ("DELETE", "/endpoints/price", None),
        ("PUT", "/endpoints/price/traffic", WEIGHTS),
        ("PUT", "/endpoints/price/mirror", {}),
        ("PUT", "/endpoints/price/deployments/next", {"model": model}),
        ("DELETE", "/endpoints/price/deployments/green", None),
        ("POST", "/models/price/load", None),
        ("POST", "/models/price/unload", None),
    ]


async def test_a_weight_is_changed_and_everybody_can_see_by_whom(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        with capture_logs() as logs:
            reply = await admin.ask("PUT", "/endpoints/price/traffic", WEIGHTS)
        (entry,) = [each for each in logs if each["event"] == "audit.state_changed"]

        assert (reply.status, reply.headers["ETag"]) == (202, '"2"')
        assert reply.json == {
            "version": 2,
            "what": "traffic of price: blue 80, green 20",
            "changes": [
                {
                    "what": "endpoint",
                    "name": "price",
                    "verb": "changed",
                    "effect": "none",
                    "field": f"traffic.{name}",
                    "before": before,
                    "after": after,
                }
                for name, before, after in (("blue", 90, 80), ("green", 10, 20))
            ],
            "outcome": "pending",
            "running": 1,
            "reason": "",
        }
        assert admin.newest.endpoints["price"]["traffic"] == WEIGHTS
        assert (entry["who"], entry["version"], entry["outcome"]) == ("admin", 2, "done")


async def test_no_change_is_made_without_the_right_to_deploy(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        reader = await admin.made("reader", "read", "keys")
        elsewhere = await admin.made("elsewhere", "deploy", endpoints=["tumor"])
        for method, path, body in changes(admin.model("next")):
            statuses = [
                (await admin.ask(method, path, body, key, seen="*")).status
                for key in (None, "lg_wrong", reader, elsewhere)
            ]

            assert (method, path, statuses) == (method, path, [401, 401, 403, 403])
        assert admin.newest.version == 1


async def test_nobody_unknown_is_told_anything_of_what_they_sent(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        for body in (b"{", b"x" * 2_000_000):
            reply = await admin.ask("PUT", "/state?wait=x", body, key=None)

            assert (reply.status, reply.code) == (401, "Unauthorized")


async def test_who_deploys_one_endpoint_changes_that_one_and_not_everything(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        key = await admin.made("ci", "deploy", endpoints=["price"])
        part = {"endpoints": {"price": {**admin.price, "traffic": WEIGHTS}}}
        one = await admin.ask("PATCH", "/state", part, key, seen='"1"')
        with_view = await admin.ask("PATCH", "/state", {**part, "views": {"v": {}}}, key, seen="*")
        whole = await admin.ask("PUT", "/state", part, key, seen="*")
        back = await admin.ask("POST", "/rollback", {"version": 1}, key, seen="*")

        assert [reply.status for reply in (one, with_view, whole, back)] == [202, 403, 403, 403]
        assert "on all endpoints" in whole.message
        assert list(admin.newest.endpoints) == ["price", "tumor"]


async def test_a_refusal_is_on_the_audit_trail_with_the_reason_and_without_the_body(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        key = await admin.made("ci", "deploy", endpoints=["price"])
        with capture_logs() as logs:
            await admin.ask("POST", "/rollback", {}, key, seen="*")
            await admin.ask("PUT", "/endpoints/price/traffic", {"lg_secret": 100})
        told = [(each["event"], each["who"], each["outcome"]) for each in logs if each["event"].startswith("audit.")]

        assert told == [("audit.refused", "ci", "forbidden"), ("audit.state_not_changed", "admin", "refused")]
        assert "lg_secret" not in str(logs)


async def test_what_is_changed_on_another_version_than_the_newest_is_refused(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        await admin.ask("PUT", "/endpoints/price/traffic", WEIGHTS)
        for method, path, body in changes(admin.model("next")):
            reply = await admin.ask(method, path, body, seen='"1"')

            assert (path, reply.status, reply.code) == (path, 412, "Conflict")
            assert reply.headers["ETag"] == '"2"'
        assert admin.newest.version == 2


async def test_who_changes_something_whole_must_say_which_version_they_have_seen(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        statuses = {
            (method, path): (await admin.ask(method, path, body)).status
            for method, path, body in changes(admin.model("next"))
        }

        assert {key for key, status in statuses.items() if status == 428} == {
            ("PUT", "/state"),
            ("PATCH", "/state"),
            ("POST", "/rollback"),
            ("PUT", "/endpoints/price"),
            ("DELETE", "/endpoints/price"),
            ("PUT", "/endpoints/price/deployments/next"),
            ("DELETE", "/endpoints/price/deployments/green"),
        }


@pytest.mark.parametrize("seen", ["1", 'W/"1"', '"one"', '"1", "2"', '""'])
async def test_a_version_that_cannot_be_read_is_no_version(tmp_path: Path, seen: str) -> None:
    async with serving_state(tmp_path) as admin:
        reply = await admin.ask("PUT", "/endpoints/price/traffic", WEIGHTS, seen=seen)

        assert (reply.status, admin.newest.version) == (400, 1)


async def test_a_weight_is_changed_on_top_of_what_others_did_meanwhile(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        admin.source.others = 3
        reply = await admin.ask("PUT", "/endpoints/price/traffic", WEIGHTS)

        assert (reply.status, reply.json["version"]) == (202, 5)
        assert admin.newest.endpoints["price"]["traffic"] == WEIGHTS


async def test_one_that_others_never_let_through_is_told_so_in_the_end(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        admin.source.others = 1000
        reply = await admin.ask("PUT", "/endpoints/price/traffic", WEIGHTS)

        assert (reply.status, admin.source.others) == (412, 995)


async def test_many_changes_at_once_are_all_made(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        bodies = [{"blue": blue, "green": 100 - blue} for blue in range(10, 30)]
        replies = await asyncio.gather(*(admin.ask("PUT", "/endpoints/price/traffic", body) for body in bodies))

        assert sorted(reply.json["version"] for reply in replies) == list(range(2, 22))


BAD: list[tuple[str, str, Any, int, str]] = [
    ("PUT", "/endpoints/price/traffic", {"blue": 97}, 400, "traffic: expected a sum of 100, or 0, got 97"),
    ("PUT", "/endpoints/price/traffic", {"red": 100}, 404, 'endpoint "price" has no deployment "red"'),
    ("PUT", "/endpoints/price/traffic", {"blue": "all"}, 400, "blue: expected a whole number from 0 to 100"),
    (
        "PUT",
        "/endpoints/price/traffic",
        {"blue": 80.5, "green": 19.5},
        400,
        "blue: expected a whole number from 0 to 100",
    ),
    ("PUT", "/endpoints/price/traffic", {"blue": -1, "green": 101}, 400, "blue: expected a whole number from 0 to 100"),
    ("PUT", "/endpoints/price/traffic", {"blue": 99, "green": True}, 400, "green: expected a whole number from 0 to"),
    ("PUT", "/endpoints/price/mirror", {"x" * 999: None}, 400, f"{'x' * 64}: expected a whole number from 0 to 100"),
    ("PUT", "/endpoints/price/traffic", [], 400, "the body: expected a mapping, got a list"),
    ("PUT", "/endpoints/price/traffic", b"{", 400, "this is not JSON"),
    ("PUT", "/endpoints/price/traffic", b'{"blue": 100, "\xff": 1}', 400, "this is not JSON"),
    ("PUT", "/endpoints/price/mirror", {"green": 5}, 400, "mirror_traffic: green has traffic of its own"),
    ("PUT", "/endpoints/price", {"deployments": {}}, 400, "endpoints.price: deployments: expected at least one"),
    ("PUT", "/endpoints/no%20name", {"deployments": {}}, 400, "name: expected a letter"),
    (
        "PUT",
        "/endpoints/price/deployments/red",
        {"model": "/no/such"},
        400,
        "deployments.red.model: expected a model below",
    ),
    ("PUT", "/endpoints/price/deployments/red", {"model": "here"}, 400, "expected the absolute path of a model"),
    ("PUT", "/endpoints/price/deployments/blue", {"worker": 2}, 400, "deployments.blue.model"),
    ("PUT", "/state", {"endpoints": {}}, 400, "endpoints: expected at least one"),
    ("PUT", "/state", {"endpoint": {}}, 400, "Object contains unknown field `endpoint`"),
    ("PATCH", "/state", {"endpoints": {"price": 3}}, 400, "endpoints.price: expected a mapping, got a whole number"),
    ("POST", "/rollback", {"version": 99}, 404, "version 99"),
    ("POST", "/rollback", {"versoin": 1}, 400, "unknown field `versoin`"),
    ("POST", "/rollback", {}, 400, "version: there is none before the newest"),
    ("DELETE", "/endpoints/price/deployments/green", None, 400, "traffic.green: expected 0 before it is deleted"),
    ("POST", "/models/nope/load", None, 404, 'no endpoint "nope" here'),
    ("PUT", "/endpoints/price/traffic?wait=x", WEIGHTS, 400, "wait: expected a whole number from 0 to 600"),
    ("PUT", "/endpoints/price/traffic?wait=601", WEIGHTS, 400, "wait: expected a whole number from 0 to 600"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "text"), BAD)
async def test_nonsense_is_refused_by_its_name_and_nothing_is_written(  # noqa: PLR0917  # five of them are the case
    tmp_path: Path, method: str, path: str, body: Any, status: int, text: str
) -> None:
    async with serving_state(tmp_path) as admin:
        reply = await admin.ask(method, path, body, seen="*")

        assert text in reply.message
        assert (reply.status, admin.newest.version) == (status, 1)


async def test_a_body_that_is_too_long_or_too_deep_is_refused_also_when_it_is_compressed(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        long = b'{"blue": ' + b" " * 70_000 + b"100}"
        bomb = gzip.compress(b'{"endpoints": {}, "entry": "' + b" " * 50_000_000 + b'"}')
        deep = b'{"endpoints": {"price": {"sticky": ' + b"[" * 100_000
        replies = [
            await admin.ask("PUT", "/endpoints/price/traffic", long),
            await admin.ask("PUT", "/endpoints/price", b'{"description": "' + b"x" * 1_100_000 + b'"}', seen="*"),
            await admin.ask("POST", "/diff", deep),
        ]
        headers = {"Authorization": f"Bearer {admin.key}", "Content-Encoding": "gzip", "If-Match": "*"}
        async with admin.session.put("/state", data=io.BytesIO(bomb), headers=headers) as response:
            bombed = response.status

        assert [reply.status for reply in replies] == [413, 413, 400]
        assert bombed == 413
        assert admin.newest.version == 1


async def test_a_source_that_cannot_be_written_says_how_it_is_changed_instead(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        admin.source.read_only = "it is declared in a ConfigMap: change that"
        replies = [await admin.ask(method, path, body, seen="*") for method, path, body in changes(admin.model("next"))]
        status = (await admin.ask("GET", "/status")).json

        assert {(reply.status, reply.code) for reply in replies} == {(405, "ReadOnly")}
        assert {reply.message for reply in replies} == {"it is declared in a ConfigMap: change that"}
        assert replies[0].headers["Allow"] == "GET, HEAD"
        assert status["read_only"] == "it is declared in a ConfigMap: change that"


async def test_a_source_that_does_not_answer_is_503(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        admin.source.is_gone = True
        reply = await admin.ask("PUT", "/endpoints/price/traffic", WEIGHTS)

        assert (reply.status, reply.code) == (503, "SourceUnavailable")


async def test_a_change_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        reply = await admin.ask("PUT", "/endpoints/price/traffic", {"blue": 90, "green": 10})

        assert (reply.status, reply.json["outcome"], reply.json["changes"]) == (200, "running", [])
        assert admin.newest.version == 1


async def test_who_waits_is_answered_when_every_process_runs_it(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        asked = asyncio.create_task(admin.ask("PUT", "/endpoints/price/traffic?wait=20", WEIGHTS))
        await admin.running.waited.wait()
        admin.running.runs(2)
        reply = await asked

        assert (reply.status, reply.json["outcome"], reply.json["running"]) == (200, "running", 2)


async def test_who_waits_for_what_is_refused_is_told_why(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        asked = asyncio.create_task(admin.ask("PUT", "/endpoints/price/traffic?wait=20", WEIGHTS))
        await admin.running.waited.wait()
        admin.running.refuses(2, "price/blue: no such column")
        reply = await asked

        assert (reply.status, reply.code, reply.message) == (422, "ChangeRefused", "price/blue: no such column")
        assert (reply.json["outcome"], reply.json["version"], reply.json["running"]) == ("refused", 2, 1)


async def test_who_waits_for_what_was_overtaken_is_not_kept_waiting(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        asked = asyncio.create_task(admin.ask("PUT", "/endpoints/price/traffic?wait=20", WEIGHTS))
        await admin.running.waited.wait()
        admin.running.runs(3)
        reply = await asked

        assert (reply.status, reply.json["outcome"]) == (200, "superseded")


async def test_a_replaced_model_file_is_taken_with_the_deployment_and_not_with_a_weight(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        model, before = admin.model("green"), admin.newest.models[admin.model("green")]
        await admin.ask("PUT", "/endpoints/tumor", admin.tumor, seen="*")
        admin.replace_files("green")
        weight = await admin.ask("PUT", "/endpoints/price/traffic", WEIGHTS)
        put = await admin.ask("PUT", "/endpoints/price/deployments/green", {"model": model}, seen="*")

        assert (weight.status, "the files of" in weight.message) == (400, True)
        assert [change["field"] for change in put.json["changes"]] == ["model files"]
        assert admin.newest.models[model] != before


async def test_loading_a_loaded_model_again_takes_its_new_files(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        same = await admin.ask("POST", "/models/price/load")
        admin.replace_files("blue")
        new = await admin.ask("POST", "/models/price/load")

        assert (same.json["version"], same.json["changes"]) == (1, [])
        assert [(change["name"], change["effect"]) for change in new.json["changes"]] == [("price/blue", "replace")]


async def test_an_unloaded_model_is_loaded_again(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        gone = await admin.ask("POST", "/models/price/unload")
        back = await admin.ask("POST", "/models/price/load")

        assert [reply.json["changes"][0]["effect"] for reply in (gone, back)] == ["stop", "start"]
        assert admin.newest.endpoints["price"] == admin.price


async def test_a_rollback_is_a_new_version_that_says_what_the_old_one_said(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        await admin.ask("PUT", "/endpoints/price/traffic", WEIGHTS)
        await admin.ask("DELETE", "/endpoints/tumor", seen='"2"')
        reply = await admin.ask("POST", "/rollback", {"version": 1}, seen='"3"')

        assert (reply.json["version"], reply.json["what"]) == (4, "rollback to version 1")
        assert admin.newest.endpoints == admin.source.documents[0].endpoints


async def test_a_rollback_without_a_version_goes_to_the_one_before_the_newest(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        for weights in (WEIGHTS, {"blue": 70, "green": 30}):
            version = (await admin.ask("PUT", "/endpoints/price/traffic", weights)).json["version"]
            admin.running.runs(version)
            admin.ran.note(version)
        reply = await admin.ask("POST", "/rollback", {}, seen="*")

        assert reply.json["what"] == "rollback to version 2"


async def test_a_rollback_without_a_version_passes_over_one_that_was_refused(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        admin.ran.note(1)
        await admin.ask("PUT", "/endpoints/price/traffic", WEIGHTS)
        admin.running.refuses(2, "no")
        await admin.ask("PUT", "/endpoints/price/traffic", {"blue": 70, "green": 30})
        admin.running.runs(3)
        reply = await admin.ask("POST", "/rollback", {}, seen="*")

        assert reply.json["what"] == "rollback to version 1"


async def test_a_rollback_to_what_is_not_known_to_have_run_says_so(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        for weights in (WEIGHTS, {"blue": 70, "green": 30}):
            await admin.ask("PUT", "/endpoints/price/traffic", weights)
        admin.source.documents.pop(0)  # the only one that ran is not kept any more
        admin.running.runs(3)
        reply = await admin.ask("POST", "/rollback", {}, seen="*")

        assert reply.json["what"] == "rollback to version 2, not known to have run"


async def test_a_rollback_of_what_was_refused_goes_to_what_runs(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        for weights in (WEIGHTS, {"blue": 70, "green": 30}):
            await admin.ask("PUT", "/endpoints/price/traffic", weights)
        admin.running.refuses(3, "no")
        reply = await admin.ask("POST", "/rollback", {}, seen="*")

        assert reply.json["what"] == "rollback to version 1"


async def test_a_rollback_does_not_pass_off_new_files_as_the_old_ones(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        await admin.ask("PUT", "/endpoints/price/traffic", WEIGHTS)
        admin.replace_files("blue")
        refused = await admin.ask("POST", "/rollback", {"version": 1}, seen="*")
        taken = await admin.ask("POST", "/rollback", {"version": 1, "with_new_files": True}, seen="*")

        assert (refused.status, "are not those of version 1" in refused.message) == (400, True)
        assert [change.get("field") for change in taken.json["changes"]] == [
            "traffic.blue",
            "traffic.green",
            "model files",
        ]

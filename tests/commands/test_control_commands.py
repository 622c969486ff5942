"""The commands that look at what is served and change it, against the admin API on a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace
from structlog.testing import capture_logs
from typer.testing import CliRunner

from gateway.cli import app
from gateway.core.errors import ConfigError
from tests.support.admin_state import AdminState, serving_state


@dataclass(frozen=True, slots=True)
class Told:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Line:
    """The command line of a machine on which a server runs."""

    admin: AdminState
    folder: Path

    async def __call__(self, *words: str) -> Told:
        state = ["--state-dir", str(self.admin.state), "--admin-port", str(self.admin.port)]
        result = await asyncio.to_thread(CliRunner().invoke, app, [*words, *state])
        if isinstance(result.exception, ConfigError):
            return Told(2, result.stdout, str(result.exception))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Told(result.exit_code, result.stdout, result.stderr)

    async def settled(self, *words: str) -> Told:
        """What is waited for runs as soon as it is written."""
        asked = asyncio.create_task(self(*words))
        self.admin.running.waited.clear()
        await self.admin.running.waited.wait()
        self.admin.running.runs(self.admin.newest.version)
        return await asked

    def file(self, settings: dict[str, Any], name: str = "") -> str:
        path = self.folder / f"{name or settings['name']}.yaml"
        path.write_text(yaml.safe_dump(settings))
        return str(path)

    def served_folder(self, **endpoints: dict[str, Any]) -> str:
        root = self.folder / "served"
        (root / "endpoints").mkdir(parents=True)
        for name, settings in endpoints.items():
            (root / "endpoints" / f"{name}.yaml").write_text(yaml.safe_dump(settings))
        return str(root)


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    folder = tmp_path / "files"
    folder.mkdir()
    with capture_logs():  # the server's, which is in this process
        async with serving_state(tmp_path) as admin:
            yield Line(admin, folder)


async def test_weights_are_shown(line: Line) -> None:
    told = await line("traffic", "price")

    assert (told.code, told.out.split()) == (0, ["DEPLOYMENT", "TRAFFIC", "blue", "90", "%", "green", "10", "%"])
    assert (await line("traffic", "price", "--json")).json == {"blue": 90, "green": 10}


async def test_weights_are_set_and_waited_for(line: Line) -> None:
    told = await line.settled("traffic", "price", "blue=80", "green=20")

    assert (told.code, told.err) == (0, "lockgate: version 2 runs everywhere\n")
    assert told.out == "~ price: traffic.blue 90 → 80\n~ price: traffic.green 10 → 20\nno new workers\n"
    assert line.admin.newest.endpoints["price"]["traffic"] == {"blue": 80, "green": 20}


async def test_who_does_not_wait_is_told_that_it_is_written(line: Line) -> None:
    told = await line("traffic", "price", "blue=100", "--no-wait")

    assert (told.code, told.err) == (0, "lockgate: version 2 is written\n")


async def test_a_change_that_is_refused_exits_with_1_the_reason_and_the_way_back(line: Line) -> None:
    asked = asyncio.create_task(line("traffic", "price", "blue=100"))
    await line.admin.running.waited.wait()
    line.admin.running.refuses(2, "price/blue: no such column")
    told = await asked

    assert told.code == 1
    assert "lockgate: version 2 was refused: price/blue: no such column\n" in told.err
    assert "version 1 goes on; lockgate rollback --last" in told.err


async def test_what_does_not_run_in_time_exits_with_1(line: Line) -> None:
    told = await line("traffic", "price", "blue=100", "--wait", "1")

    assert (told.code, "does not run everywhere after 1 s" in told.err) == (1, True)


async def test_one_that_was_overtaken_says_so(line: Line) -> None:
    asked = asyncio.create_task(line("traffic", "price", "blue=100"))
    await line.admin.running.waited.wait()
    line.admin.running.runs(3)
    told = await asked

    assert (told.code, told.err) == (
        0,
        "lockgate: version 2 was written, and a later one was taken up: version 3 runs\n",
    )


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["traffic", "price", "blue=97"], 1, "traffic: expected a sum of 100, or 0, got 97"),
        (["traffic", "nope"], 1, 'no endpoint "nope" here'),
        (["traffic", "price", "blue"], 2, "blue: expected a deployment and whole percent, such as blue=80"),
        (["traffic", "price", "blue=80.5"], 2, "blue=80.5: expected a deployment and whole percent"),
        (["traffic", "price", "blue=50", "blue=50"], 2, "blue is given twice"),
        (["mirror", "price", "--off", "blue=1"], 2, "expected without shadows"),
        (["rollback"], 2, "expected a version, or --last"),
        (["rollback", "3", "--last"], 2, "expected a version, or --last"),
        (["rollback", "99"], 1, "version 99"),
        (["history", "99"], 1, "version 99"),
        (["history", "--limit", "0"], 2, "--limit"),
        (["diff"], 2, "expected a folder or file, or --file"),
        (["apply"], 2, "expected at least one"),
        (["apply", "-f", "/no/such/file"], 2, "does not exist"),
        (["status", "--key-file", "/no/such/file"], 2, "cannot be read"),
    ],
)
async def test_a_refusal_is_1_and_wrong_usage_is_2(line: Line, words: list[str], code: int, text: str) -> None:
    told = await line(*words)

    assert (told.code, text in told.err.replace("\n", " ")) == (code, True), told
    assert line.admin.newest.version == 1


async def test_nobody_there_is_wrong_usage(tmp_path: Path) -> None:
    async with serving_state(tmp_path) as admin:
        line = Line(admin, tmp_path)
    told = await line("status")

    assert (told.code, "no answer" in told.err) == (2, True)


async def test_a_mirror_is_set_shown_and_ended(line: Line) -> None:
    price = {**line.admin.price, "deployments": {**line.admin.price["deployments"]}}
    price["deployments"]["next"] = {"model": line.admin.model("next")}
    await line("apply", "-f", line.file(price), "--no-wait")
    on = await line("mirror", "price", "next=20", "--no-wait")
    shown = await line("mirror", "price", "--json")
    off = await line("mirror", "price", "--off", "--no-wait")
    nothing = await line("mirror", "price")

    assert (on.code, shown.json, off.code) == (0, {"next": 20}, 0)
    assert "price has no shadows" in nothing.out


async def test_a_file_is_compared_and_then_applied_with_paths_from_its_folder(line: Line) -> None:
    relative = {"name": "new", "deployments": {"blue": {"model": "../models/next"}}}
    path = line.file(relative)
    compared = await line("diff", path)
    applied = await line.settled("apply", "-f", path)
    again = await line("apply", "-f", path, "--no-wait")

    assert compared.out == applied.out == "+ new: added\nnew workers: new\n"
    assert line.admin.newest.endpoints["new"]["deployments"]["blue"]["model"] == line.admin.model("next")
    assert list(line.admin.newest.endpoints) == ["price", "tumor", "new"]
    assert (again.code, again.out) == (0, "nothing changes\n")


async def test_a_file_may_be_named_from_where_one_stands(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    line.file({"name": "new", "deployments": {"blue": {"model": "../models/next"}}})
    monkeypatch.chdir(line.folder)
    told = await line("apply", "-f", "new.yaml", "--no-wait")

    assert told.code == 0, told.err
    assert line.admin.newest.endpoints["new"]["deployments"]["blue"]["model"] == line.admin.model("next")


async def test_several_files_are_one_change(line: Line) -> None:
    a = line.file({"name": "a", "deployments": {"blue": {"model": line.admin.model("next")}}})
    b = line.file({"name": "b", "deployments": {"blue": {"model": line.admin.model("next")}}})
    told = await line("apply", "-f", a, "-f", b, "--no-wait", "--json")

    assert (told.json["version"], told.json["what"]) == (2, "applied: a, b")


async def test_the_same_endpoint_in_two_files_is_an_error(line: Line) -> None:
    a = line.file(line.admin.price, "a")
    b = line.file(line.admin.price, "b")
    told = await line("apply", "-f", a, "-f", b)

    assert (told.code, 'endpoint "price" is defined in another file too' in told.err) == (2, True)


async def test_a_file_that_is_wrong_is_told_with_its_line_before_anybody_is_asked(line: Line) -> None:
    path = line.folder / "price.yaml"
    await asyncio.to_thread(path.write_text, "name: price\ntrafic: {blue: 100}\n")
    told = await line("diff", str(path))

    assert (told.code, "price.yaml, line 2" in told.err) == (2, True)


async def test_what_would_be_refused_is_told_and_not_tried(line: Line) -> None:
    missing = line.admin.model("missing")
    path = line.file({**line.admin.price, "deployments": {"blue": {"model": missing}}, "traffic": {"blue": 100}})
    compared = await line("diff", path)
    applied = await line("apply", "-f", path)

    assert [compared.code, applied.code] == [1, 1]
    assert f"this would be refused: endpoints.price.deployments.blue.model: {missing} does not exist" in applied.err
    assert line.admin.newest.version == 1


async def test_a_file_that_says_what_was_refused_is_told_so(line: Line) -> None:
    file = line.file({**line.admin.price, "traffic": {"blue": 100}})
    await line("apply", "-f", file, "--no-wait")
    line.admin.running.refuses(2, "price/blue: no such column")
    told = await line("diff", file)

    assert (told.code, told.out) == (1, "nothing changes\n")
    assert told.err == (
        "lockgate: compared with version 2, which was refused (price/blue: no such column); version 1 runs\n"
    )


async def test_what_differs_from_a_version_that_was_refused_is_no_error(line: Line) -> None:
    await line("traffic", "price", "blue=100", "--no-wait")
    line.admin.running.refuses(2, "price/blue: no such column")
    told = await line("diff", line.file(line.admin.price))

    assert (told.code, "compared with version 2, which was refused" in told.err) == (0, True)


async def test_a_folder_is_compared_whole_and_pruned_when_asked(line: Line) -> None:
    folder = line.served_folder(price=line.admin.price)
    compared = await line("diff", folder)
    kept = await line("apply", "-f", folder, "--no-wait")
    pruned = await line("apply", "-f", folder, "--prune", "--no-wait")

    assert compared.out == pruned.out == "- tumor: removed\nno new workers\n"
    assert "nothing changes" in kept.out
    assert list(line.admin.newest.endpoints) == ["price"]


async def test_pruning_takes_one_folder(line: Line) -> None:
    path = line.file(line.admin.price)
    told = await line("apply", "-f", path, "--prune")

    assert (told.code, "expected one --file, and a folder" in told.err) == (2, True)


async def test_what_was_compared_is_what_is_changed(line: Line) -> None:
    path = line.file({**line.admin.price, "traffic": {"blue": 50, "green": 50}})
    line.admin.source.others = 1
    told = await line("apply", "-f", path)

    assert told.code == 1
    assert "expected version 1, but version 2 is there now" in told.err
    assert "look again" in told.err


async def test_history_tells_when_by_whom_and_what_and_which_one_runs(line: Line) -> None:
    await line("traffic", "price", "blue=100", "--no-wait")
    told = await line("history")
    first, *rest = told.out.splitlines()

    assert first.split() == ["VERSION", "WHEN", "BY", "WHAT"]
    assert rest[0].split()[0] == "2"
    assert "admin" in rest[0]
    assert "traffic of price: blue 100, green 0" in rest[0]
    assert rest[1].split() == ["1", "-", "files", "start", "runs"]


async def test_history_tells_what_was_refused_and_why(line: Line) -> None:
    await line("traffic", "price", "blue=100", "--no-wait")
    line.admin.running.refuses(2, "price/blue does not load")
    told = await line("history")

    assert told.out.splitlines()[1].endswith("refused: price/blue does not load")


async def test_one_version_says_what_the_way_back_would_change(line: Line) -> None:
    await line("traffic", "price", "blue=100", "--no-wait")
    told = await line("history", "1")

    assert "version 1 of - by files: start" in told.out
    assert "~ price: traffic.blue 100 → 90" in told.out


async def test_status_tells_what_cannot_go_on_apart_from_what_was_refused(line: Line) -> None:
    line.admin.running.has_problem("price.yaml, line 3: expected YAML")
    told = await line("status")

    assert (told.code, "refused" in told.out) == (1, False)
    assert "cannot go on at the moment: price.yaml, line 3: expected YAML" in told.out


async def test_a_rollback_takes_the_last_change_back(line: Line) -> None:
    await line.settled("traffic", "price", "blue=100")
    told = await line.settled("rollback", "--last")

    assert (told.code, told.err) == (0, "lockgate: version 3 runs everywhere\n")
    assert line.admin.newest.endpoints == line.admin.source.documents[0].endpoints


async def test_status_shows_versions_deployments_and_processes(line: Line) -> None:
    told = await line("status")
    words = [row.split() for row in told.out.splitlines()]

    assert told.code == 0
    assert words[0][:4] == ["version", "1", "runs", "everywhere"]
    assert ["price", "blue", "90", "%", "ready", line.admin.model("blue")] in words
    assert ["price", "green", "10", "%", "no", "such", "column", line.admin.model("green")] in words
    assert ["price/blue", "ready", "12", "2", "of", "2", "0"] in words
    assert ["gateway/0", "ready", "11", "0"] in words


async def test_status_of_a_refused_version_is_1_and_says_why(line: Line) -> None:
    await line("traffic", "price", "blue=100", "--no-wait")
    line.admin.running.refuses(2, "price/blue: no such column")
    told = await line("status")

    assert (told.code, "version 2 was refused: price/blue: no such column" in told.out) == (1, True)
    assert (await line("status", "--json")).json["status"]["progress"]["refused"]["version"] == 2


async def test_status_names_the_version_on_its_way_after_one_that_was_refused(line: Line) -> None:
    line.admin.running.refuses(2, "price/blue: no such column")
    line.admin.running.progress = replace(line.admin.running.progress, wanted=3, phase="starting")
    told = await line("status")

    assert "version 3 is on its way: starting" in told.out
    assert "version 2 was refused: price/blue: no such column" in told.out


async def test_status_is_told_while_the_source_is_gone(line: Line) -> None:
    line.admin.source.is_gone = True
    told = await line("status")

    assert (told.code, "nobody answers" in told.out, "gateway/0" in told.out) == (1, True, True)

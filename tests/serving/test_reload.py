"""A gateway is told what to serve by calls and by a file, and the file is what counts."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.config import Config, Settings
from gateway.control.admin_served import ServedState
from gateway.control.convert import convert
from gateway.control.served import Served, ServedFile, write_served
from gateway.core.errors import ConfigError, NotReady
from gateway.serving.reload import Reload, config_of


class Recorded:
    """Stands for ``Serving``: notes what it is told."""

    def __init__(self, version: int = 1, refusals: int = 0) -> None:
        self.version, self.prepared, self.draining = version, None, ["unix:/old"]
        self.using = ["unix:/new", "unix:/old"]
        self.said: list[str] = []
        self.content = self._next = ""
        self._refusals = refusals

    @property
    def served(self) -> tuple[int, str]:
        return self.version, self.content

    async def prepare(self, config: Config, served: Served) -> None:
        self.said.append(f"prepare {served.version}")
        if self._refusals:
            self._refusals -= 1
            raise NotReady("no worker")
        self.prepared = served.version  # type: ignore[assignment]
        self._next = served.content

    async def commit(self, version: int) -> None:
        self.said.append(f"commit {version}")
        self.version, self.prepared, self.content = version, None, self._next

    async def abandon(self) -> None:
        self.prepared = None


class Looks:
    """A pause that ends as often as a test lets it."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.done = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        if not self.left:
            self.done.set()
            await asyncio.Event().wait()
        self.left -= 1


class Given:
    """What each look at the file finds."""

    def __init__(self, *found: Served | ConfigError | None) -> None:
        self._found = list(found)
        self.threads: set[threading.Thread] = set()

    def newest(self) -> Served | None:
        self.threads.add(threading.current_thread())
        found = self._found.pop(0) if self._found else None
        if isinstance(found, ConfigError):
            raise found
        return found


@pytest.fixture
def started(tmp_path: Path) -> Config:
    return Config(root=tmp_path, settings=Settings(), endpoints={})


def served(tmp_path: Path, version: int) -> Served:
    (tmp_path / "m.onnx").touch()
    endpoint = {"name": "e", "deployments": {"blue": {"model": str(tmp_path / "m.onnx")}}}
    return Served(version=version, endpoints={"e": endpoint}, plan={"e": {"blue": ["unix:/w"]}})


async def looked(reload: Reload, file: Given, times: int) -> None:
    pause = Looks(times)
    task = asyncio.create_task(reload.follow(file, pause))
    async with asyncio.timeout(10):
        await pause.done.wait()
    task.cancel()


async def test_what_the_file_says_is_served(started: Config, tmp_path: Path) -> None:
    serving = Recorded()
    await looked(Reload(serving, started), Given(served(tmp_path, 2)), 2)  # type: ignore[arg-type]

    assert serving.said == ["prepare 2", "commit 2"]


async def test_the_file_is_not_read_between_requests(started: Config, tmp_path: Path) -> None:
    file = Given(served(tmp_path, 2))
    await looked(Reload(Recorded(), started), file, 2)  # type: ignore[arg-type]

    assert threading.current_thread() not in file.threads


async def test_what_was_prepared_by_a_call_is_only_committed(started: Config, tmp_path: Path) -> None:
    serving = Recorded()
    reload = Reload(serving, started)  # type: ignore[arg-type]
    await reload.prepare(served(tmp_path, 2))
    await looked(reload, Given(served(tmp_path, 2)), 2)

    assert serving.said == ["prepare 2", "commit 2"]


async def test_what_could_not_be_prepared_is_tried_again_at_the_next_look(started: Config, tmp_path: Path) -> None:
    serving = Recorded(refusals=2)
    await looked(Reload(serving, started), Given(served(tmp_path, 2)), 4)  # type: ignore[arg-type]

    assert serving.said == ["prepare 2", "prepare 2", "prepare 2", "commit 2"]


async def test_a_file_that_cannot_be_read_changes_nothing_and_is_looked_at_again(
    started: Config, tmp_path: Path
) -> None:
    serving = Recorded()
    file = Given(ConfigError("served.json", "cannot be read"), served(tmp_path, 2))
    await looked(Reload(serving, started), file, 3)  # type: ignore[arg-type]

    assert serving.version == 2


async def test_the_version_that_serves_already_is_not_prepared_again(started: Config, tmp_path: Path) -> None:
    serving = Recorded(version=2)
    await looked(Reload(serving, started), Given(served(tmp_path, 2)), 3)  # type: ignore[arg-type]

    assert serving.said == []


async def test_another_content_under_the_same_number_is_served(started: Config, tmp_path: Path) -> None:
    serving = Recorded(version=2)
    serving.content = "lost"
    other = msgspec.structs.replace(served(tmp_path, 2), content="kept")
    await looked(Reload(serving, started), Given(other), 2)  # type: ignore[arg-type]

    assert serving.said == ["prepare 2", "commit 2"]


async def test_what_does_not_compose_is_refused_before_anybody_hears_of_it(started: Config) -> None:
    serving = Recorded()
    wrong = Served(version=2, endpoints={"e": {"name": "e", "deployments": {}}}, plan={})
    with pytest.raises(ConfigError, match=r"endpoints\.e.*at least one"):
        await Reload(serving, started).prepare(wrong)  # type: ignore[arg-type]

    assert serving.said == []


def test_the_state_is_told_in_one_value(started: Config) -> None:
    told = Reload(Recorded(version=7), started).state  # type: ignore[arg-type]

    assert told == ServedState(version=7, draining=["unix:/old"], using=["unix:/new", "unix:/old"])


def test_a_model_whose_files_are_gone_is_served_by_workers_that_have_it(started: Config, tmp_path: Path) -> None:
    """A gateway that starts again must not need what it never reads."""
    wanted = served(tmp_path, 2)
    (tmp_path / "m.onnx").unlink()

    assert list(config_of(wanted, started).endpoints) == ["e"]


def test_settings_stay_those_of_the_start(tmp_path: Path) -> None:
    started = Config(root=tmp_path, settings=Settings(drain_ms=7), endpoints={})

    assert config_of(served(tmp_path, 2), started).settings.drain_ms == 7


def test_a_file_is_given_once_until_it_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "served.json"
    write_served(path, served(tmp_path, 1))
    file = ServedFile(path)
    first, unchanged = file.read(), file.newest()
    write_served(path, served(tmp_path, 2))

    assert (first.version, unchanged) == (1, None)
    assert file.newest() == served(tmp_path, 2)


def test_nobody_else_can_read_what_is_served(tmp_path: Path) -> None:
    write_served(tmp_path / "served.json", served(tmp_path, 1))

    assert (tmp_path / "served.json").stat().st_mode & 0o777 == 0o600


async def test_what_a_change_leaves_as_it_is_is_not_made_anew_not_even_by_the_first(
    started: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def noted(data: Any, kind: Any) -> Any:
        made.append(data["name"])
        return convert(data, kind)

    reload = Reload(Recorded(), started, served(tmp_path, 1))  # type: ignore[arg-type]
    monkeypatch.setattr("gateway.control.converted.convert", noted)
    first = served(tmp_path, 2)
    other = {"other": {**first.endpoints["e"], "name": "other"}}
    await reload.prepare(msgspec.structs.replace(first, endpoints={**first.endpoints, **other}))

    assert made == ["other"]

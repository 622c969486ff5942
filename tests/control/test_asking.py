"""Who only asks for the desired state takes up no file earlier than who follows the folder."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.config import read_files
from gateway.control.folder_source import FolderSource
from gateway.control.model_files import ModelFiles
from gateway.control.model_guard import ModelGuard
from gateway.control.served_folder import ServedFolder
from gateway.control.source import Conflict, SourceUnavailable
from gateway.control.state_checks import StateChecks
from gateway.control.state_reader import StateReader
from gateway.control.state_sight import Sight
from gateway.core.access import Caller, Grant, Presented, Principal, Role
from gateway.core.errors import ConfigError
from tests.support.control_folder import PRICE, make_folder
from tests.support.control_state import FakeRunning
from tests.support.folder_sources import altered, open_folder
from tests.support.paced import Following, Paced

NEW = PRICE.replace("90", "80").replace("10}", "20}")
HALF = NEW[: NEW.index("  # the new one")].replace("{blue: 80, green: 20}", "{blue: 100}")
"""Cut off where it is a whole endpoint all the same."""
ANYBODY = Presented(None)


class Judge:
    """Implements ``gateway.control.state_sight.Judge``: everybody may look at everything."""

    async def on_endpoint(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        return Principal("anna", (Grant(frozenset({Role.READ})),))

    async def on_all(self, caller: Caller, role: Role) -> Principal:
        return await self.on_endpoint(caller, None, role)

    def holds_on_all(self, principal: Principal, role: Role) -> bool:
        return principal.may(role, None)

    def changed(self, *_: object) -> None: ...

    def refused(self, *_: object) -> None: ...


def reader_of(source: FolderSource) -> StateReader:
    judge = Judge()
    sight = Sight(source, judge)
    checks = StateChecks(judge, sight, lambda _: None, ModelFiles(), ModelGuard((), Path()))
    return StateReader(source, judge, sight, checks, FakeRunning())


def edit(file: Path, text: str) -> None:
    file.write_text(text)


def written_at(file: Path) -> float:
    return file.stat().st_mtime


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "served") / "endpoints" / "price.yaml"


@pytest.mark.parametrize(
    "ask",
    [
        lambda reader: reader.status(ANYBODY),
        lambda reader: reader.state(ANYBODY),
        lambda reader: reader.running(ANYBODY),
        lambda reader: reader.endpoint(ANYBODY, "price"),
        lambda reader: reader.past(ANYBODY, 1),
        lambda reader: reader.compare(ANYBODY, {}, {}, is_whole=True),
    ],
    ids=["status", "state", "running", "endpoint", "past", "compare"],
)
async def test_who_asks_makes_no_version_of_a_file_that_is_still_being_written(
    tmp_path: Path, file: Path, ask: Callable[[StateReader], Awaitable[Any]]
) -> None:
    source = open_folder(tmp_path / "served", tmp_path / "state")
    await source.read()
    edit(file, HALF)
    await ask(reader_of(source))

    assert [entry.version for entry in await source.history()] == [1]


async def test_who_asks_while_a_file_is_being_written_is_told_what_counts_by_then(tmp_path: Path, file: Path) -> None:
    source = open_folder(tmp_path / "served", tmp_path / "state")
    first = await source.read()
    edit(file, HALF)
    _, newest, problem, _ = await reader_of(source).status(ANYBODY)

    assert (newest, problem) == (first.entry, "")


async def test_who_asks_while_a_broken_file_is_being_written_is_told_of_no_problem(tmp_path: Path, file: Path) -> None:
    source = open_folder(tmp_path / "served", tmp_path / "state")
    first = await source.read()
    edit(file, "name: [")
    _, newest, problem, _ = await reader_of(source).status(ANYBODY)

    assert (newest, problem) == (first.entry, "")


async def test_who_asks_first_reads(tmp_path: Path, file: Path) -> None:
    source = open_folder(tmp_path / "served", tmp_path / "state")
    edit(file, NEW)

    assert (await source.settled()).endpoints["price"]["traffic"] == {"blue": 80, "green": 20}


@pytest.fixture
def paced() -> Paced:
    return Paced()


@pytest.fixture
async def patient(tmp_path: Path, file: Path, paced: Paced) -> AsyncIterator[FolderSource]:
    """It has been read, and who asks while it changes waits for who follows, for as long as a test may take."""
    source = open_folder(tmp_path / "served", tmp_path / "state", paced=paced, patience=60.0)
    await source.read()
    yield source
    await source.close()


async def test_who_asks_after_an_edit_is_told_of_it_as_soon_as_who_follows_has_taken_it_up(
    patient: FolderSource, file: Path, paced: Paced
) -> None:
    async with Following(patient.changed(), paced) as following:
        edit(file, NEW)
        asked = asyncio.create_task(patient.settled())
        came = [await following.turns(1), await following.turns(1)]
        was_told = asked.done()
    read = await patient.read()

    assert (came, was_told, await asked) == ([False, True], False, read)
    assert read.version == 2


async def test_asking_again_and_again_does_not_put_off_that_a_change_is_told(
    patient: FolderSource, file: Path, paced: Paced
) -> None:
    async with Following(patient.changed(), paced) as following:
        edit(file, NEW)
        asked, came = [], []
        for _ in range(2):
            asked += [asyncio.create_task(patient.settled()) for _ in range(3)]
            await patient.history()  # behind their looks
            came.append(await following.turns(1))
    await patient.read()

    assert came == [False, True]
    assert {document.version for document in await asyncio.gather(*asked)} == {2}


async def test_what_was_read_as_broken_is_told_so_to_who_asks_until_it_is_mended(
    patient: FolderSource, file: Path, paced: Paced
) -> None:
    edit(file, "name: [")
    with pytest.raises(ConfigError):
        await patient.read()
    for _ in range(2):
        with pytest.raises(ConfigError, match="price"):
            await patient.settled()
    edit(file, PRICE)
    asked = asyncio.create_task(patient.settled())
    await patient.history()  # behind its look
    await patient.read()

    assert (await asked).version == 1


async def test_what_was_broken_is_told_to_each_who_asks_without_the_way_it_took_to_the_others(
    patient: FolderSource, file: Path
) -> None:
    edit(file, "name: [")
    depths: list[int] = []
    for _ in range(4):
        with pytest.raises(ConfigError) as told:
            await patient.settled() if depths else await patient.read()
        depths.append(len(told.traceback))

    assert depths[1] == depths[2] == depths[3]


async def test_who_asks_after_a_change_through_the_api_is_told_of_it_before_anybody_has_read_it(
    patient: FolderSource,
) -> None:
    document = await patient.settled()
    written = await patient.write(altered(document, lambda data: data["endpoints"].pop("tumor")), 1)

    assert await patient.settled() == written


async def test_who_asks_after_a_change_through_the_api_takes_up_nothing_that_is_being_written_since(
    tmp_path: Path, file: Path
) -> None:
    source = open_folder(tmp_path / "served", tmp_path / "state")
    written = await source.write(altered(await source.read(), lambda data: data["endpoints"].pop("tumor")), 1)
    edit(file, HALF)

    assert await source.settled() == written
    assert [entry.version for entry in await source.history()] == [2, 1]


async def test_who_asks_after_a_change_that_came_too_late_is_told_what_was_there_instead(
    patient: FolderSource, file: Path
) -> None:
    document = await patient.settled()
    edit(file, NEW)
    with pytest.raises(Conflict):
        await patient.write(altered(document, lambda data: data["endpoints"].pop("tumor")), 1)

    assert (await patient.settled()).version == 2


async def test_files_that_are_as_young_as_the_clock_of_the_disk_is_coarse_keep_nobody_waiting(
    tmp_path: Path, file: Path
) -> None:
    young = written_at(file) + 0.001
    source = open_folder(tmp_path / "served", tmp_path / "state", clock=lambda: young, patience=60.0)
    first = await source.read()
    async with asyncio.timeout(20):
        assert await source.settled() == first


async def test_a_disk_that_fails_is_told_to_who_asks(patient: FolderSource, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> list[str]:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("gateway.control.folder_source.yaml_paths", fail)

    with pytest.raises(SourceUnavailable, match="Input/output error"):
        await patient.settled()


async def test_a_disk_that_failed_who_follows_is_told_to_who_asks_although_files_look_as_they_did(
    tmp_path: Path, file: Path
) -> None:
    problems: list[OSError] = []

    def read(root: Path) -> ServedFolder:
        if problems:
            raise ConfigError("price.yaml", "cannot be read") from problems[0]
        return read_files(root)

    source = open_folder(tmp_path / "served", tmp_path / "state", read=read)
    await source.read()
    edit(file, NEW)
    problems.append(OSError(errno.EIO, "Input/output error"))
    for ask in (source.read, source.settled, source.settled):
        with pytest.raises(SourceUnavailable, match="Input/output error"):
            await ask()
    problems.clear()

    assert (await source.read()).version == 2

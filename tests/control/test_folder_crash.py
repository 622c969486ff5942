"""Whoever is killed when: files of a change are all old or all new, and no version is given twice."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from gateway.control.document import Document, content_digest
from gateway.control.source import SourceUnavailable
from tests.support.control_folder import PRICE, make_folder
from tests.support.folder_sources import Crashed, CrashingDisk, FullDisk, altered, open_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "served")


def change(data: Any) -> None:
    """Four files: one of a view, one edited, one new, one removed."""
    data["views"]["diamonds"]["freshness"] = "7d"
    data["endpoints"]["price"]["traffic"] = {"blue": 50, "green": 50}
    data["endpoints"]["new"] = data["endpoints"].pop("tumor") | {"name": "new"}


async def crash(root: Path, state: Path, document: Document, at: int) -> bool:
    """Whether the world ended; otherwise all steps were done before."""
    source = open_folder(root, state, disk=CrashingDisk(at))
    try:
        await source.write(altered(document, change), document.version)
    except Crashed:
        return True
    finally:
        await source.close()
    return False


def left_overs(root: Path, state: Path) -> list[str]:
    found = [*root.rglob("*lockgate-new"), *state.rglob("*lockgate-new"), *state.rglob("unfinished.json")]
    return [path.name for path in found]


async def start_again(root: Path, state: Path) -> Document:
    source = open_folder(root, state)
    try:
        return await source.read()
    finally:
        await source.close()


async def test_after_a_crash_at_any_step_all_is_old_or_all_is_new(root: Path, tmp_path: Path) -> None:
    seen = []
    for at in itertools.count():
        here, state = tmp_path / f"{at}" / "served", tmp_path / f"{at}" / "state"
        make_folder(here)
        old = await start_again(here, state)
        new = altered(old, change)
        if not await crash(here, state, old, at):
            break
        found = await start_again(here, state)
        seen.append(found.version)

        expected = old if found.version == 1 else new
        assert (found.endpoints, found.views) == (expected.endpoints, expected.views)
        assert await start_again(here, state) == found
        assert (found.version, found.entry.by) in ((1, "files"), (2, "anna"))
        assert [name for name in left_overs(here, state) if "unfinished" not in name] == []
    assert seen == [1] + [2] * 11


async def test_a_crash_while_a_crash_is_made_good_is_made_good_too(tmp_path: Path) -> None:
    for at in range(1, 12, 2):
        for again in itertools.count():
            here, state = tmp_path / f"{at}-{again}" / "served", tmp_path / f"{at}-{again}" / "state"
            make_folder(here)
            old = await start_again(here, state)
            assert await crash(here, state, old, at)
            source = open_folder(here, state, disk=CrashingDisk(again))
            try:
                await source.read()
                ended = False
            except Crashed:
                ended = True
            await source.close()
            found = await start_again(here, state)
            expected = old if found.version == 1 else altered(old, change)

            assert (found.endpoints, found.views) == (expected.endpoints, expected.views)
            assert found.version == (1 if at < 1 else 2)
            if not ended:
                break


async def test_after_a_crash_changes_can_be_made_and_have_new_versions(root: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    old = await start_again(root, state)
    await crash(root, state, old, 5)
    source = open_folder(root, state)
    second = await source.read()
    third = await source.write(
        altered(second, lambda data: data["endpoints"]["price"].update(traffic={"blue": 60, "green": 40})), 2
    )

    assert third.version == 3
    assert left_overs(root, state) == []


async def test_a_change_that_was_not_finished_is_finished_before_anything_is_written(
    root: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    old = await start_again(root, state)
    await crash(root, state, old, 5)
    source = open_folder(root, state)
    wanted = altered(altered(old, change), lambda data: data["views"].pop("diamonds", None))
    wanted = altered(wanted, lambda data: data["endpoints"]["price"]["deployments"]["blue"].pop("features"))

    await source.write(wanted, 2)

    assert [(entry.version, entry.by) for entry in await source.history()] == [(3, "anna"), (2, "anna"), (1, "files")]


async def test_what_somebody_edits_after_a_crash_stays_and_is_the_next_version(root: Path, tmp_path: Path) -> None:
    state, file = tmp_path / "state", root / "endpoints" / "price.yaml"
    old = await start_again(root, state)
    await crash(root, state, old, 2)  # known what is to be done, nothing done
    file.write_text(PRICE.replace("workers: 2", "workers: 3"))
    found = await start_again(root, state)

    assert (found.version, found.entry.by) == (3, "files")
    assert found.endpoints["price"]["traffic"] == {"blue": 90, "green": 10}
    assert found.endpoints["price"]["deployments"]["green"]["workers"] == 3
    assert sorted(found.endpoints) == ["new", "price"]


async def test_a_disk_that_fails_for_good_in_the_middle_shows_no_half(root: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    old = await start_again(root, state)
    source = open_folder(root, state, disk=FullDisk(2, is_for_good=True))
    with pytest.raises(SourceUnavailable):
        await source.write(altered(old, change), 1)
    with pytest.raises(SourceUnavailable):
        await source.read()
    found = await start_again(root, state)

    assert content_digest(found) == content_digest(altered(old, change))
    assert found.version == 2

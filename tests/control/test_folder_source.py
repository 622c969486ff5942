"""Files of a folder are the desired state: read, watched, written back, and numbered."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.config import read_files
from gateway.control import model_files
from gateway.control.disk import Disk
from gateway.control.document import Document, content_digest
from gateway.control.folder_change import folder_changes
from gateway.control.folder_source import FolderSource
from gateway.control.served_folder import ServedFolder
from gateway.control.source import Conflict, ReadOnly, Source, SourceUnavailable
from gateway.control.yaml_file import KnownYaml
from gateway.core.errors import ConfigError, NotFound
from tests.support.control_folder import OTHER, PRICE, VIEW, make_folder
from tests.support.folder_sources import LATER, FullDisk, altered, open_folder
from tests.support.paced import Following, Paced
from workers import model_digest
from workers.model_digest import Stamp


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "served")


@pytest.fixture
def paced() -> Paced:
    return Paced()


@pytest.fixture
async def source(root: Path, tmp_path: Path, paced: Paced) -> AsyncIterator[FolderSource]:
    source = open_folder(root, tmp_path / "state", paced=paced)
    yield source
    await source.close()


def weights(blue: int) -> Callable[[Any], object]:
    return lambda data: data["endpoints"]["price"].update(traffic={"blue": blue, "green": 100 - blue})


def test_it_is_a_source(root: Path, tmp_path: Path) -> None:
    source: Source = open_folder(root, tmp_path / "state")

    assert source.read_only == ""


async def test_what_is_read_first_is_version_1_by_files(source: FolderSource) -> None:
    entry = (await source.read()).entry

    assert (entry.version, entry.by, entry.what, entry.at) == (1, "files", "first read", LATER)


async def test_the_same_files_are_the_same_version_also_after_a_restart(root: Path, tmp_path: Path) -> None:
    first = await open_folder(root, tmp_path / "state").read()

    assert await open_folder(root, tmp_path / "state").read() == first


async def test_edited_files_are_the_next_version_and_the_history_says_which(source: FolderSource, root: Path) -> None:
    await source.read()
    (root / "endpoints" / "price.yaml").write_text(PRICE.replace("90", "80").replace("10}", "20}"))
    second = await source.read()
    (root / "models" / "green" / "model.rds").write_bytes(b"GREEN")
    third = await source.read()

    assert [entry.what for entry in await source.history()] == ["files of models", "files of price", "first read"]
    assert (second.version, third.version) == (2, 3)
    assert await source.past(2) == second


async def test_what_cannot_be_read_is_told_with_its_line_and_gets_no_version(source: FolderSource, root: Path) -> None:
    await source.read()
    (root / "endpoints" / "price.yaml").write_text(PRICE.replace("90", "91"))
    with pytest.raises(ConfigError, match=r"price\.yaml, line 3: traffic: expected a sum of 100, or 0, got 101"):
        await source.read()

    assert [entry.version for entry in await source.history()] == [1]


async def test_a_past_version_that_there_was_not_is_not_found(source: FolderSource) -> None:
    await source.read()

    with pytest.raises(NotFound):
        await source.past(2)


# Watching


async def test_nothing_changes_while_nothing_changes(source: FolderSource, paced: Paced) -> None:
    await source.read()
    async with Following(source.changed(), paced) as following:
        assert not await following.turns(5)

    assert set(paced.lengths) == {0.2}


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "endpoints" / "price.yaml").write_text(PRICE.replace("90", "80").replace("10}", "20}")),
        lambda root: (root / "endpoints" / "new.yaml").write_text(OTHER.replace("tumor", "new")),
        lambda root: (root / "endpoints" / "tumor.yaml").unlink(),
        lambda root: (root / "features" / "diamonds.yaml").open("a").write("description: d\n"),
        lambda root: (root / "models" / "green" / "model.rds").write_bytes(b"GREEN"),
        lambda root: (root / "models" / "green" / "signature.json").touch(),
        lambda root: (root / "models" / "blue.onnx").unlink(),
    ],
    ids=["edited", "added", "removed", "view", "model", "file of a model", "model gone"],
)
async def test_a_change_is_told_at_the_second_look_that_sees_it(
    source: FolderSource, paced: Paced, root: Path, change: Callable[[Path], object]
) -> None:
    await source.read()
    async with Following(source.changed(), paced) as following:
        change(root)

        assert not await following.turns(1)
        assert await following.turns(1)


async def test_a_file_that_is_still_being_written_is_not_told_of(
    source: FolderSource, paced: Paced, root: Path
) -> None:
    file = root / "endpoints" / "price.yaml"
    await source.read()
    async with Following(source.changed(), paced) as following:
        for end in (20, 60, 100, len(PRICE)):
            file.write_text(PRICE.replace("90", "80").replace("10}", "20}")[:end])
            assert not await following.turns(1)

        assert await following.turns(1)
    assert (await source.read()).endpoints["price"]["traffic"] == {"blue": 80, "green": 20}


async def test_what_cannot_be_read_is_told_once_until_it_changes_again(
    source: FolderSource, paced: Paced, root: Path
) -> None:
    file = root / "endpoints" / "price.yaml"
    await source.read()
    file.write_text("name: [")
    for _ in range(2):  # what is new may have been told to somebody else
        with pytest.raises(ConfigError):
            await source.read()
        async with Following(source.changed(), paced) as following:
            pass
    async with Following(source.changed(), paced) as following:
        assert not await following.turns(3)
        file.write_text(PRICE)
        assert await following.turns(2)

    assert (await source.read()).version == 1


async def test_a_file_that_is_mended_while_it_is_read_is_not_told_as_wrong(root: Path, tmp_path: Path) -> None:
    file = root / "endpoints" / "price.yaml"
    file.write_text("name: [")

    def read(root: Path) -> ServedFolder:
        try:
            return read_files(root)
        finally:
            file.write_text(PRICE)

    document = await open_folder(root, tmp_path / "state", read=read).read()

    assert document.endpoints["price"]["traffic"] == {"blue": 90, "green": 10}


async def test_a_file_of_a_model_that_is_taken_away_while_it_is_read_is_not_told_as_wrong(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = root / "models" / "green" / "model.rds.part"
    temporary.touch()

    def read_digest(path: str, moved: Callable[[], object]) -> str:
        if Path(path).parent == temporary.parent:
            temporary.unlink(missing_ok=True)
        return model_digest.read_digest(path, moved)

    monkeypatch.setattr(model_files, "read_digest", read_digest)
    document = await open_folder(root, tmp_path / "state").read()

    assert document.version == 1


async def test_a_disk_that_fails_is_no_broken_file_and_is_asked_again(root: Path, tmp_path: Path) -> None:
    problems = [OSError(errno.EIO, "Input/output error")]

    def read(root: Path) -> ServedFolder:
        if problems:
            raise ConfigError("price.yaml", "cannot be read") from problems.pop()
        return read_files(root)

    source = open_folder(root, tmp_path / "state", read=read)
    with pytest.raises(SourceUnavailable, match="Input/output error"):
        await source.read()

    assert (await source.read()).version == 1


async def test_models_that_cannot_be_read_are_told_once_until_they_change(
    source: FolderSource, paced: Paced, root: Path
) -> None:
    await source.read()
    (root / "models" / "blue.onnx").unlink()
    os.mkfifo(root / "models" / "blue.onnx")
    for _ in range(2):  # what is new may have been told to somebody else
        with pytest.raises(ConfigError, match="it is not a file"):
            await source.read()
        async with Following(source.changed(), paced) as following:
            pass
    async with Following(source.changed(), paced) as following:
        assert not await following.turns(3)
        (root / "models" / "blue.onnx").unlink()
        (root / "models" / "blue.onnx").write_bytes(b"blue")
        assert await following.turns(2)

    assert (await source.read()).version == 1


async def test_what_somebody_else_came_upon_is_still_told_to_who_follows(
    source: FolderSource, paced: Paced, root: Path
) -> None:
    await source.read()
    (root / "endpoints" / "tumor.yaml").unlink()
    await source.read()  # by the admin API, say
    async with Following(source.changed(), paced) as following:
        assert following.has_come


async def test_what_somebody_else_comes_upon_is_told_at_once(source: FolderSource, paced: Paced, root: Path) -> None:
    await source.read()
    async with Following(source.changed(), paced) as following:
        (root / "endpoints" / "tumor.yaml").unlink()
        await source.read()  # by the admin API, say
        await following.come()  # nobody has ended the pause

        assert "tumor" not in (await source.read()).endpoints


async def test_that_files_cannot_be_read_is_told_to_who_follows_also_where_somebody_else_came_upon_it(
    source: FolderSource, paced: Paced, root: Path
) -> None:
    await source.read()
    async with Following(source.changed(), paced) as following:
        (root / "endpoints" / "price.yaml").write_text("name: [")
        with pytest.raises(ConfigError):
            await source.read()  # by the admin API, say
        await following.come()

    with pytest.raises(ConfigError, match="price"):
        await source.read()


async def test_that_files_are_as_they_were_again_is_told_to_who_follows_also_where_somebody_else_came_upon_it(
    source: FolderSource, paced: Paced, root: Path
) -> None:
    await source.read()
    (root / "endpoints" / "price.yaml").write_text("name: [")
    for _ in range(2):  # by who follows
        with pytest.raises(ConfigError):
            await source.read()
        async with Following(source.changed(), paced):
            pass
    async with Following(source.changed(), paced) as following:
        (root / "endpoints" / "price.yaml").write_text(PRICE)
        assert (await source.read()).version == 1  # by the admin API, say
        await following.come()


async def test_what_somebody_came_upon_who_has_left_is_told_to_who_follows(
    root: Path, tmp_path: Path, paced: Paced
) -> None:
    reading, go = threading.Event(), threading.Event()
    go.set()

    def read(path: Path) -> ServedFolder:
        reading.set()
        assert go.wait(20)
        return read_files(path)

    source = open_folder(root, tmp_path / "state", paced=paced, read=read)
    await source.read()
    async with Following(source.changed(), paced) as following:
        (root / "endpoints" / "tumor.yaml").unlink()
        reading.clear()
        go.clear()
        other = asyncio.create_task(source.read())
        await asyncio.to_thread(reading.wait, 20)
        other.cancel()
        await asyncio.wait([other])
        go.set()
        await source.history()  # behind what the other one has begun

        assert await following.turns(2)
    await source.close()


async def test_a_change_that_a_writer_was_late_for_is_told_at_once(
    source: FolderSource, paced: Paced, root: Path
) -> None:
    document = await source.read()
    async with Following(source.changed(), paced) as following:
        (root / "endpoints" / "tumor.yaml").unlink()
        with pytest.raises(Conflict):
            await source.write(altered(document, weights(50)), 1)
        await following.come()  # nobody has ended the pause

        assert (await source.read()).version == 2


async def test_a_disk_that_cannot_be_looked_at_is_told_once_and_again_when_it_is_back(
    source: FolderSource, paced: Paced, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> list[str]:
        raise OSError(errno.EIO, "Input/output error")

    await source.read()
    with capture_logs() as logs:
        async with Following(source.changed(), paced) as following:
            with monkeypatch.context() as patch:
                patch.setattr("gateway.control.folder_source.yaml_paths", fail)
                assert not await following.turns(2)
            assert not await following.turns(2)

    assert [each["event"] for each in logs] == ["control.folder_lost", "control.folder_back"]
    assert paced.lengths == [0.2, 5.0, 5.0, 0.2, 0.2]


async def test_a_written_change_is_told_to_who_follows(source: FolderSource, paced: Paced) -> None:
    document = await source.read()
    async with Following(source.changed(), paced) as following:
        await source.write(altered(document, weights(50)), 1)
        await following.come()  # at once: nobody has ended the pause

        assert (await source.read()).version == 2


async def test_files_that_are_as_young_as_the_clock_of_the_disk_is_coarse_are_read_again(
    root: Path, tmp_path: Path, paced: Paced
) -> None:
    young = (root / "endpoints" / "price.yaml").stat().st_mtime + 0.001
    source = open_folder(root, tmp_path / "state", paced=paced, clock=lambda: young)
    await source.read()
    async with Following(source.changed(), paced) as following:
        assert await following.turns(2)


async def test_files_of_a_disk_that_counts_in_seconds_are_read_again_within_the_same_second(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def whole(path: Path | str) -> Stamp:
        found = model_digest.stamp(path)
        return (*found[:2], len(PRICE), 1_000_000_000) if found is not None else None

    monkeypatch.setattr("gateway.control.folder_source.stamp", whole)
    monkeypatch.setattr("gateway.control.model_files.stamp", whole)
    source = open_folder(root, tmp_path / "state", clock=lambda: 1.5)
    await source.read()
    (root / "endpoints" / "price.yaml").write_text(PRICE.replace("90", "80").replace("10}", "20}"))
    second = await source.read()

    assert second.endpoints["price"]["traffic"] == {"blue": 80, "green": 20}


async def test_another_folder_behind_a_link_is_a_change_although_it_shares_its_files(
    root: Path, tmp_path: Path, paced: Paced
) -> None:
    link, models = root / "endpoints", []
    link.rename(root / "first")
    for release in ("r1", "r2"):
        shutil.copytree(root / "models", tmp_path / release / "models")
        shutil.copytree(root / "first", tmp_path / release / "endpoints", copy_function=os.link)
    link.symlink_to(tmp_path / "r1" / "endpoints")
    source = open_folder(root, tmp_path / "state", paced=paced)
    models.append((await source.read()).endpoints["tumor"]["deployments"]["only"]["model"])
    async with Following(source.changed(), paced) as following:
        (tmp_path / "next").symlink_to(tmp_path / "r2" / "endpoints")
        (tmp_path / "next").rename(link)

        assert await following.turns(2)
    models.append((await source.read()).endpoints["tumor"]["deployments"]["only"]["model"])

    assert models == [str(tmp_path / release / "models" / "blue.onnx") for release in ("r1", "r2")]


async def test_a_folder_that_was_moved_and_linked_to_is_read_from_where_it_is_now(root: Path, tmp_path: Path) -> None:
    source = open_folder(root, tmp_path / "state")
    await source.read()
    (tmp_path / "r1").mkdir()
    (root / "endpoints").rename(tmp_path / "r1" / "endpoints")
    (root / "endpoints").symlink_to(tmp_path / "r1" / "endpoints")
    found = (await source.read()).endpoints["tumor"]["deployments"]["only"]["model"]

    assert found == str(tmp_path / "r1" / "models" / "blue.onnx")


async def test_a_swapped_configmap_is_one_change(tmp_path: Path, paced: Paced) -> None:
    served = make_folder(tmp_path / "served")
    mount = served / "endpoints"
    for stamp, text in (("..1", PRICE), ("..2", PRICE.replace("90", "80").replace("10}", "20}"))):
        (mount / stamp).mkdir()
        (mount / stamp / "price.yaml").write_text(text)
    (mount / "price.yaml").unlink()
    (mount / "..data").symlink_to("..1")
    (mount / "price.yaml").symlink_to("..data/price.yaml")
    source = open_folder(served, tmp_path / "state", paced=paced)
    first = await source.read()
    async with Following(source.changed(), paced) as following:
        (mount / "..data_tmp").symlink_to("..2")
        (mount / "..data_tmp").rename(mount / "..data")
        shutil.rmtree(mount / "..1")

        assert await following.turns(2)
    second = await source.read()

    assert (first.version, second.version) == (1, 2)
    assert second.endpoints["price"]["traffic"] == {"blue": 80, "green": 20}
    assert second.models == first.models


async def test_a_folder_behind_a_link_that_git_sync_swaps_is_followed(tmp_path: Path, paced: Paced) -> None:
    make_folder(tmp_path / "a")
    make_folder(tmp_path / "b")
    (tmp_path / "b" / "endpoints" / "tumor.yaml").unlink()
    current = tmp_path / "current"
    current.symlink_to("a")
    source = open_folder(current, tmp_path / "state", paced=paced)
    first = await source.read()
    async with Following(source.changed(), paced) as following:
        (tmp_path / "link").symlink_to("b")
        (tmp_path / "link").rename(current)
        shutil.rmtree(tmp_path / "a")

        assert await following.turns(2)
    second = await source.read()

    assert (sorted(first.endpoints), sorted(second.endpoints)) == (["price", "tumor"], ["price"])
    assert second.endpoints["price"] == first.endpoints["price"]


async def test_a_disk_that_does_not_answer_is_told_once_and_asked_again(
    source: FolderSource, paced: Paced, monkeypatch: pytest.MonkeyPatch
) -> None:
    await source.read()
    look = source._look
    with capture_logs() as logs:
        async with Following(source.changed(), paced) as following:
            monkeypatch.setattr(source, "_look", _raise_io)
            await following.turns(3)
            monkeypatch.setattr(source, "_look", look)
            assert not await following.turns(2)

    assert [event["event"] for event in logs] == ["control.folder_lost", "control.folder_back"]
    assert paced.lengths == [0.2, 5.0, 5.0, 5.0, 0.2, 0.2]


def _raise_io() -> object:
    raise OSError(5, "Input/output error")


# Writing


async def test_a_change_is_written_into_the_file_with_its_comments(source: FolderSource, root: Path) -> None:
    document = await source.read()
    done = await source.write(altered(document, weights(50), what="traffic of price"), 1)

    assert (root / "endpoints" / "price.yaml").read_text() == PRICE.replace("90", "50").replace("10}", "50}")
    assert (root / "endpoints" / "tumor.yaml").read_text() == OTHER
    assert (done.entry.version, done.entry.by, done.entry.what, done.entry.at) == (2, "anna", "traffic of price", LATER)
    assert await source.read() == done


async def test_what_was_written_is_not_taken_for_an_edit_after_a_restart(root: Path, tmp_path: Path) -> None:
    source = open_folder(root, tmp_path / "state")
    done = await source.write(altered(await source.read(), weights(50)), 1)

    assert await open_folder(root, tmp_path / "state").read() == done


async def test_endpoints_come_and_go_as_files(source: FolderSource, root: Path) -> None:
    document = await source.read()
    model = str(root / "models" / "green")

    def change(data: Any) -> None:
        del data["endpoints"]["tumor"]
        data["endpoints"]["new"] = {"name": "new", "deployments": {"only": {"model": model}}}

    done = await source.write(altered(document, change), 1)

    assert sorted(path.name for path in (root / "endpoints").iterdir()) == ["new.yaml", "price.yaml"]
    assert (root / "endpoints" / "new.yaml").read_text() == (
        "name: new\ndeployments:\n  only: {model: ../models/green}\n"
    )
    assert await source.read() == done


async def test_a_new_endpoint_does_not_take_the_file_of_another_one(source: FolderSource, root: Path) -> None:
    (root / "endpoints" / "tumor.yaml").rename(root / "endpoints" / "new.yaml")
    document = await source.read()
    new = {"name": "new", "deployments": {"only": {"model": str(root / "models" / "green")}}}
    done = await source.write(altered(document, lambda data: data["endpoints"].update(new=new)), 1)

    assert (root / "endpoints" / "new.yaml").read_text() == OTHER
    assert await source.read() == done


async def test_a_model_elsewhere_is_named_by_its_whole_path(source: FolderSource, root: Path, tmp_path: Path) -> None:
    (tmp_path / "far.onnx").touch()
    document = await source.read()
    far = str(tmp_path / "far.onnx")
    await source.write(
        altered(document, lambda data: data["endpoints"]["tumor"]["deployments"]["only"].update(model=far)), 1
    )

    assert (root / "endpoints" / "tumor.yaml").read_text() == OTHER.replace("../models/blue.onnx", far)


async def test_a_relative_path_out_of_the_folder_stays_as_it_was(
    source: FolderSource, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "far.onnx").touch()
    (root / "endpoints" / "tumor.yaml").write_text(OTHER.replace("../models/blue.onnx", "../../far.onnx"))
    document = await source.read()
    await source.write(altered(document, lambda data: data["endpoints"]["tumor"].update(description="d")), 1)

    assert "model: ../../far.onnx" in (root / "endpoints" / "tumor.yaml").read_text()


async def test_files_that_are_edited_while_a_change_is_checked_are_not_overwritten(root: Path, tmp_path: Path) -> None:
    edited = PRICE.replace("workers: 2", "workers: 3")
    source = open_folder(
        root, tmp_path / "state", check=lambda document: (root / "endpoints" / "price.yaml").write_text(edited)
    )
    document = await source.read()
    with pytest.raises(Conflict):
        await source.write(altered(document, weights(50)), 1)

    assert (root / "endpoints" / "price.yaml").read_text() == edited


async def test_a_view_is_written_too(source: FolderSource, root: Path) -> None:
    document = await source.read()
    done = await source.write(altered(document, lambda data: data["views"]["diamonds"].update(freshness="7d")), 1)

    assert "seed: diamonds.csv\nfreshness: 7d\n" in (root / "features" / "diamonds.yaml").read_text()
    assert await source.read() == done


async def test_a_file_keeps_its_mode(source: FolderSource, root: Path) -> None:
    file = root / "endpoints" / "price.yaml"
    file.chmod(0o640)
    await source.write(altered(await source.read(), weights(50)), 1)

    assert file.stat().st_mode & 0o777 == 0o640


async def test_a_change_of_another_version_is_refused(source: FolderSource, root: Path) -> None:
    document = await source.read()
    await source.write(altered(document, weights(50)), 1)
    with pytest.raises(Conflict, match="expected version 1, but version 2 is there now"):
        await source.write(altered(document, weights(60)), 1)

    assert (await source.read()).endpoints["price"]["traffic"] == {"blue": 50, "green": 50}


async def test_a_change_does_not_overwrite_files_that_were_edited_meanwhile(source: FolderSource, root: Path) -> None:
    document = await source.read()
    edited = PRICE.replace("workers: 2", "workers: 3")
    (root / "endpoints" / "price.yaml").write_text(edited)
    with pytest.raises(Conflict) as caught:
        await source.write(altered(document, weights(50)), 1)

    assert caught.value.found == 2
    assert (root / "endpoints" / "price.yaml").read_text() == edited


async def test_of_many_who_change_the_same_version_exactly_one_wins(source: FolderSource) -> None:
    document = await source.read()
    done = await asyncio.gather(
        *(source.write(altered(document, weights(blue)), 1) for blue in range(10, 20)), return_exceptions=True
    )
    won = [each for each in done if isinstance(each, Document)]

    assert len(won) == 1
    assert [type(each) for each in done if each is not won[0]] == [Conflict] * 9
    assert await source.read() == won[0]


async def test_a_document_that_cannot_be_served_is_not_written(source: FolderSource, root: Path) -> None:
    document = await source.read()
    with pytest.raises(ConfigError, match=r"endpoints\.price: traffic: expected a sum of 100"):
        await source.write(altered(document, lambda data: data["endpoints"]["price"]["traffic"].update(blue=91)), 1)

    assert (root / "endpoints" / "price.yaml").read_text() == PRICE


async def test_a_version_whose_model_files_are_gone_is_not_brought_back(source: FolderSource, root: Path) -> None:
    first = await source.read()
    (root / "models" / "green" / "model.rds").write_bytes(b"GREEN")
    await source.read()

    with pytest.raises(ConfigError, match=r"endpoints\.price\.deployments\.green\.model: the files of .* are not"):
        await source.write(first, 2)


async def test_an_earlier_version_comes_back_as_a_new_one(source: FolderSource, root: Path) -> None:
    first = await source.read()
    await source.write(altered(first, weights(50)), 1)
    third = await source.write(first, 2)

    assert (third.version, content_digest(third)) == (3, content_digest(first))
    assert (root / "endpoints" / "price.yaml").read_text() == PRICE


async def test_a_file_that_cannot_be_written_changes_none(root: Path, tmp_path: Path) -> None:
    document = await open_folder(root, tmp_path / "state").read()

    def change(data: Any) -> None:
        weights(50)(data)
        data["views"]["diamonds"]["freshness"] = "7d"

    for at in range(4):  # the journal, two files, the history
        source = open_folder(root, tmp_path / "state", disk=FullDisk(at))
        with pytest.raises(SourceUnavailable, match="cannot be used: No space left on device"):
            await source.write(altered(document, change), 1)

        assert await open_folder(root, tmp_path / "state").read() == document
        assert (root / "endpoints" / "price.yaml").read_text() == PRICE


class Editing(Disk):
    """Somebody edits ``file`` just before file ``at`` is written or removed, the journal being the first."""

    def __init__(self, file: Path, text: str, at: int) -> None:
        self.file, self.text, self.left = file, text, at

    def write(self, path: Path, data: bytes, mode: int = 0o600) -> None:
        super().write(path, data, mode)
        self._edit()

    def remove(self, path: Path) -> None:
        super().remove(path)
        self._edit()

    def _edit(self) -> None:
        self.left -= 1
        if not self.left:
            self.file.write_bytes(self.text.encode("latin-1"))


def price_and_view(data: Any) -> None:
    """The view is written first."""
    weights(50)(data)
    data["views"]["diamonds"]["freshness"] = "7d"


@pytest.mark.parametrize("at", [1, 2])
async def test_a_file_that_is_edited_between_two_writes_is_not_overwritten_and_the_others_are_taken_back(
    root: Path, tmp_path: Path, at: int
) -> None:
    file, edited = root / "endpoints" / "price.yaml", PRICE.replace("workers: 2", "workers: 3")
    source = open_folder(root, tmp_path / "state", disk=Editing(file, edited, at + 1))  # the first version is written
    with pytest.raises(Conflict, match="expected version 1, but version 2 is there now"):
        await source.write(altered(await source.read(), price_and_view), 1)

    assert file.read_text() == edited
    assert (root / "features" / "diamonds.yaml").read_text() == VIEW


async def test_a_file_that_is_not_even_text_any_more_is_not_overwritten(root: Path, tmp_path: Path) -> None:
    file = root / "endpoints" / "price.yaml"
    source = open_folder(root, tmp_path / "state", disk=Editing(file, "name: \xe9", 3))
    with pytest.raises(ConfigError, match="cannot be read"):
        await source.write(altered(await source.read(), price_and_view), 1)

    assert file.read_bytes() == b"name: \xe9"
    assert (root / "features" / "diamonds.yaml").read_text() == VIEW


async def test_a_comment_that_is_added_meanwhile_is_kept(root: Path, tmp_path: Path) -> None:
    file = root / "endpoints" / "price.yaml"
    source = open_folder(root, tmp_path / "state", disk=Editing(file, f"# new\n{PRICE}", 3))
    done = await source.write(altered(await source.read(), price_and_view), 1)

    assert file.read_text() == "# new\n" + PRICE.replace("90", "50").replace("10}", "50}")
    assert await source.read() == done


async def test_a_file_that_is_edited_while_a_change_is_planned_is_not_overwritten(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, edited = root / "endpoints" / "price.yaml", PRICE.replace("workers: 2", "workers: 3")
    source = open_folder(root, tmp_path / "state")
    document = await source.read()

    def late(*given: Any) -> Any:
        file.write_text(edited)
        return folder_changes(*given)

    monkeypatch.setattr("gateway.control.folder_source.folder_changes", late)
    with pytest.raises(Conflict):
        await source.write(altered(document, weights(50)), 1)

    assert file.read_text() == edited


async def test_a_removed_file_comes_back_with_its_mode(root: Path, tmp_path: Path) -> None:
    file = root / "endpoints" / "tumor.yaml"
    file.chmod(0o640)
    document = await open_folder(root, tmp_path / "state").read()
    source = open_folder(root, tmp_path / "state", disk=FullDisk(1))  # the journal, then the history
    with pytest.raises(SourceUnavailable):
        await source.write(altered(document, lambda data: data["endpoints"].pop("tumor")), 1)

    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("prepare", "told"),
    [
        (lambda root: (root / "endpoints" / "..data").mkdir(), "as of a mounted ConfigMap"),
        (lambda root: (root / "endpoints" / "l.yaml").symlink_to(root / "endpoints" / "price.yaml"), "are links"),
    ],
)
async def test_links_are_not_written(root: Path, tmp_path: Path, prepare: Callable[[Path], object], told: str) -> None:
    prepare(root)

    assert told in open_folder(root, tmp_path / "state").read_only


async def test_a_source_that_may_not_be_written_says_why_and_refuses(root: Path, tmp_path: Path) -> None:
    source = open_folder(root, tmp_path / "state", is_read_only=True)
    document = await source.read()

    assert source.read_only == "control.read_only is set in lockgate.yaml: change the files where they come from"
    with pytest.raises(ReadOnly, match=r"control\.read_only is set"):
        await source.write(altered(document, weights(50)), 1)
    assert (root / "endpoints" / "price.yaml").read_text() == PRICE


async def test_files_that_cannot_be_written_are_said_to_be_so(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: "endpoints" not in str(path))  # root may write everywhere

    assert open_folder(root, tmp_path / "state").read_only == "the files cannot be written here"


async def test_a_single_model_is_watched_and_cannot_be_written(root: Path, tmp_path: Path, paced: Paced) -> None:
    model = root / "models" / "blue.onnx"
    source = open_folder(model, tmp_path / "state", paced=paced)
    await source.read()
    async with Following(source.changed(), paced) as following:
        model.write_bytes(b"other")
        assert await following.turns(2)

    assert (await source.read()).version == 2
    assert source.read_only == "a single model is served: there are no files to change"


async def test_folders_that_share_a_state_directory_do_not_share_a_history(root: Path, tmp_path: Path) -> None:
    await open_folder(root, tmp_path / "state").read()
    other = open_folder(make_folder(tmp_path / "other"), tmp_path / "state")
    await other.read()

    assert [entry.what for entry in await other.history()] == ["first read"]


async def test_who_reads_what_has_not_changed_is_given_what_was_read_before(root: Path, tmp_path: Path) -> None:
    reads: list[Path] = []

    def read(path: Path) -> ServedFolder:
        reads.append(path)
        return read_files(path)

    source = open_folder(root, tmp_path / "state", read=read)
    found = [await source.read() for _ in range(3)]

    assert found[0] is found[1] is found[2]
    assert len(reads) == 1


async def test_a_change_that_writes_no_file_is_what_is_read_next(root: Path, tmp_path: Path) -> None:
    source = open_folder(root, tmp_path / "state")
    written = await source.write(await source.read(), 1)

    assert (await source.read(), written.version) == (written, 2)


async def test_what_could_not_be_read_is_read_again_although_the_files_are_as_they_were(
    root: Path, tmp_path: Path
) -> None:
    troubles: list[ConfigError | None] = [None, ConfigError("x", "a link is being swapped"), None]

    def read(path: Path) -> ServedFolder:
        if (trouble := troubles.pop(0)) is not None:
            raise trouble
        return read_files(path)

    source = open_folder(root, tmp_path / "state", read=read)
    await source.read()
    (history,) = (tmp_path / "state" / "history").iterdir()
    (history / "unfinished.json").mkdir()
    with pytest.raises(SourceUnavailable):
        await source.read()
    (history / "unfinished.json").rmdir()
    with pytest.raises(ConfigError):
        await source.read()
    await source.read()

    assert troubles == []


_EDITS: dict[str, Callable[[Path], object]] = {
    "weights": lambda root: replaced(
        root / "endpoints" / "price.yaml", PRICE.replace("90", "80").replace("10}", "20}")
    ),
    "weights back": lambda root: replaced(root / "endpoints" / "price.yaml", PRICE),
    "a comment": lambda root: replaced(root / "endpoints" / "tumor.yaml", OTHER + "# new"),
    "a file less": lambda root: (root / "endpoints" / "tumor.yaml").unlink(missing_ok=True),
    "a file more": lambda root: replaced(root / "endpoints" / "tumor.yaml", OTHER),
    "a broken file": lambda root: replaced(root / "endpoints" / "price.yaml", "name: ["),
    "a view less": lambda root: (root / "features" / "diamonds.yaml").unlink(missing_ok=True),
    "a view more": lambda root: replaced(root / "features" / "diamonds.yaml", VIEW),
    "a model": lambda root: replaced(root / "models" / "green" / "score.R", "score <- function(x) x"),
    "a model back": lambda root: replaced(root / "models" / "green" / "score.R", "score <- identity\n"),
    "nothing": lambda root: None,
}


def replaced(file: Path, text: str) -> None:
    """At once, by a file of its own; what was there keeps its inode, so that no later one can have it."""
    kept = file.parents[1] / ".kept"
    kept.mkdir(exist_ok=True)
    if file.exists():
        os.link(file, kept / str(len(list(kept.iterdir()))))
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(text)
    beside.replace(file)


@settings(max_examples=40, deadline=None)
@given(edits=st.lists(st.sampled_from(sorted(_EDITS)), max_size=12))
def test_one_that_remembers_reads_what_one_that_has_just_started_does(edits: list[str]) -> None:
    async def outcome(source: FolderSource) -> str:
        try:
            return content_digest(await source.read())
        except ConfigError as error:
            return str(error)

    async def both() -> list[tuple[str, str]]:
        with tempfile.TemporaryDirectory() as folder:
            root, found = make_folder(Path(folder) / "served"), []
            known = open_folder(root, Path(folder) / "state", read=partial(read_files, opened=KnownYaml().open))
            for number, edit in enumerate(["nothing", *edits]):
                _EDITS[edit](root)
                fresh = open_folder(root, Path(folder) / f"state-{number}")
                found.append((await outcome(known), await outcome(fresh)))
                await fresh.close()
            await known.close()
            return found

    found = asyncio.run(both())

    assert [remembered for remembered, _ in found] == [whole for _, whole in found]

"""A model is another one when its files are, and looking again at the same files reads nothing."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import threading
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from gateway.control.document import Document, Entry
from gateway.control.model_files import ModelFiles
from gateway.core.errors import ConfigError
from workers.model_digest import FilesUnreadable, read_digest, stamp

LATER = 4_000_000_000_000_000_000


def files_of() -> ModelFiles:
    """Its clock is late, so that no file is too young to be remembered."""
    return ModelFiles(lambda: LATER)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "m" / "sub").mkdir(parents=True)
    (tmp_path / "m" / "a.rds").write_bytes(b"a")
    (tmp_path / "m" / "sub" / "b.json").write_bytes(b"b")
    return tmp_path / "m"


def document(model: Path, digest: str | None = None) -> Document:
    return Document(
        entry=Entry(version=3, at=0.0, by="anna", what=""),
        endpoints={"e": {"name": "e", "deployments": {"blue": {"model": str(model)}}}},
        models={str(model): digest} if digest else {},
    )


def test_the_digest_is_the_one_that_sha256sum_would_lead_to(model: Path) -> None:
    printed = subprocess.run(["sha256sum", "a.rds", "sub/b.json"], cwd=model, capture_output=True, check=True).stdout

    assert ModelFiles().digest(str(model)) == sha256(printed).hexdigest()


@pytest.mark.parametrize("what", ["bytes", "name", "more", "less"])
def test_another_byte_name_or_number_of_files_is_another_model(model: Path, what: str) -> None:
    files = files_of()
    before = files.digest(str(model))
    match what:
        case "bytes":
            (model / "a.rds").write_bytes(b"A")
        case "name":
            (model / "a.rds").rename(model / "c.rds")
        case "more":
            (model / "c.rds").touch()
        case "less":
            (model / "sub" / "b.json").unlink()

    assert files.digest(str(model)) != before


def test_files_that_have_not_changed_are_not_read_again(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = files_of()
    before = files.digest(str(model))
    monkeypatch.setattr("gateway.control.model_files.read_digest", lambda path, moved: pytest.fail(f"{path} was read"))

    assert files.digest(str(model)) == before


def test_a_file_that_was_just_written_is_read_again_because_it_may_change_within_the_same_tick(model: Path) -> None:
    file = model / "a.rds"
    files = ModelFiles(lambda: file.stat().st_mtime_ns + 1_000_000)
    before = files.digest(str(model))
    found = file.stat()
    file.write_bytes(b"A")
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))

    assert files.digest(str(model)) != before


def test_a_swapped_link_is_seen(tmp_path: Path, model: Path) -> None:
    (tmp_path / "n").mkdir()
    (tmp_path / "n" / "a.rds").write_bytes(b"other")
    link = tmp_path / "current"
    link.symlink_to(model)
    files = files_of()
    before, stamps = files.digest(str(link)), files.stamps([str(link)])
    (tmp_path / "next").symlink_to(tmp_path / "n")
    (tmp_path / "next").rename(link)

    assert files.digest(str(link)) != before
    assert files.stamps([str(link)]) != stamps


def test_the_folders_of_a_mounted_configmap_are_read_once_and_a_circle_ends(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    (mount / "..2026").mkdir(parents=True)
    (mount / "..2026" / "a.rds").write_bytes(b"a")
    (mount / "..data").symlink_to("..2026")
    (mount / "a.rds").symlink_to("..data/a.rds")
    (mount / "self").symlink_to(".")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "a.rds").write_bytes(b"a")

    assert ModelFiles().digest(str(mount)) == ModelFiles().digest(str(tmp_path / "plain"))


def test_a_folder_that_is_no_model_is_refused_and_not_read(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.model_digest._MOST_FILES", 1)

    with pytest.raises(ConfigError, match="found a folder of more than 1 files"):
        ModelFiles().digest(str(model))


def test_models_are_read_behind_everything_that_serves(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.getpriority(os.PRIO_PROCESS, 0)
    there: list[int] = []

    def read(path: str, moved: object) -> str:
        there.append(os.getpriority(os.PRIO_PROCESS, 0))
        return "0"

    monkeypatch.setattr("gateway.control.model_files.read_digest", read)
    ModelFiles().digest(str(model))

    assert set(there) == {min(here + 10, 19)}
    assert os.getpriority(os.PRIO_PROCESS, 0) == here


def test_between_two_pieces_of_a_model_there_is_a_pause_in_the_thread_that_reads(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.model_digest._CHUNK", 2)
    (model / "a.rds").write_bytes(b"aabbcc")
    paused: list[str] = []
    files = ModelFiles(lambda: LATER, pause=lambda: paused.append(threading.current_thread().name))
    files.digest(str(model))

    assert paused.count("model files") == 4  # three of one file and one of the other


def test_a_look_at_many_models_pauses_before_each(model: Path) -> None:
    pauses: list[None] = []
    ModelFiles(pause=lambda: pauses.append(None)).stamps([str(model), str(model / "a.rds")])

    assert len(pauses) == 2


def test_what_is_remembered_has_a_bound(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.control.model_files._REMEMBERED", 1)
    files = files_of()
    files.digest(str(model))

    assert len(files._known) == 1


def test_a_document_is_given_the_digests_that_it_does_not_name(model: Path) -> None:
    files = ModelFiles()

    assert files.pinned(document(model)).models == {str(model): files.digest(str(model))}


def test_the_digest_of_a_model_that_nothing_uses_is_dropped(model: Path) -> None:
    unused = Document(entry=document(model).entry, endpoints={}, models={str(model): "0"})

    assert ModelFiles().pinned(unused).models == {}


@pytest.mark.parametrize("method", ["pinned", "check"])
def test_other_files_than_those_of_the_document_are_refused_with_the_key(model: Path, method: str) -> None:
    with pytest.raises(ConfigError) as caught:
        getattr(ModelFiles(), method)(document(model, "0"))

    assert str(caught.value) == (f"endpoints.e.deployments.blue.model: the files of {model} are not those of version 3")


def test_the_same_files_as_those_of_the_document_pass(model: Path) -> None:
    files = ModelFiles()
    files.check(document(model, files.digest(str(model))))

    with pytest.raises(ConfigError):
        files.check(document(model, "0"))


@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_what_is_neither_file_nor_folder_is_refused_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m"
    with socket.socket(socket.AF_UNIX) as other:
        match kind:
            case "pipe":
                os.mkfifo(path)
            case "device":
                path.symlink_to("/dev/zero")
            case "socket":
                other.bind(str(path))

        with pytest.raises(ConfigError, match="m: cannot be read: it is not a file"):
            ModelFiles().digest(str(path))
        with pytest.raises(FilesUnreadable):
            read_digest(str(path))


def test_a_file_without_an_end_is_read_as_far_as_it_says_it_reaches() -> None:
    assert read_digest("/proc/self/maps") == sha256().hexdigest()


def test_a_file_of_more_bytes_than_any_model_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "m.rds").open("wb") as file:
        file.truncate((1 << 40) + 1)

    with pytest.raises(ConfigError, match="expected a model, found a file of 1099511627777 bytes"):
        ModelFiles().digest(str(tmp_path / "m.rds"))


def test_a_path_that_no_system_can_have_is_not_there() -> None:
    assert stamp("/m\0") is None


def test_a_file_that_may_be_read_only_now_is_read_again(model: Path) -> None:
    before = stamp(model / "a.rds")
    (model / "a.rds").chmod(0o400)

    assert stamp(model / "a.rds") != before


@pytest.mark.parametrize("of_folder", [False, True])
def test_a_disk_that_fails_says_nothing_about_a_model(
    model: Path, monkeypatch: pytest.MonkeyPatch, of_folder: bool
) -> None:
    opened = os.scandir if of_folder else os.open

    def fail(path: str, *more: int) -> Any:
        if "sub" in str(path):
            raise OSError(errno.EIO, "Input/output error", path)
        return opened(path, *more)

    monkeypatch.setattr(os, opened.__name__, fail)

    with pytest.raises(OSError, match="Input/output error"):
        files_of().digest(str(model))


def test_a_folder_that_nobody_may_list_is_not_the_model_s(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, listed = files_of().digest(str(model)), os.scandir
    (model / "lost+found").mkdir()

    def list_folder(path: str) -> Any:
        if path.endswith("lost+found"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", list_folder)

    assert files_of().digest(str(model)) == before


def test_a_read_that_hangs_holds_up_no_other_and_is_not_begun_twice(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, begun = threading.Event(), []

    def read(path: str, moved: object) -> str:
        begun.append(path)
        if path.endswith("a.rds"):
            released.wait(30)
        return "0"

    monkeypatch.setattr("gateway.control.model_files.read_digest", read)
    monkeypatch.setattr("gateway.control.model_files._HANGS_S", 0.01)
    files = files_of()
    for _ in range(2):
        with pytest.raises(OSError, match="the disk does not answer"):
            files.digest(str(model))
    files.digest(str(model / "sub"))
    released.set()

    assert begun == [str(model / "a.rds"), str(model / "sub" / "b.json")]


def test_a_long_read_that_moves_is_waited_for(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Counted(SimpleQueue):  # type: ignore[type-arg]
        """Every wait is the longest that there is; a piece has come by then."""

        waits = 0

        def get(self, block: bool = True, timeout: float | None = None) -> object:
            Counted.waits += 1
            return super().get(block, 30)

    monkeypatch.setattr("gateway.control.model_files.SimpleQueue", Counted)
    monkeypatch.setattr("workers.model_digest._CHUNK", 1)
    (model / "a.rds").write_bytes(b"abcd")
    files_of().digest(str(model / "a.rds"))

    assert Counted.waits == 5

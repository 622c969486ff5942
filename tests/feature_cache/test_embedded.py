"""The embedded store: found, bounded, private, and gone when we are."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from feature_cache.embedded import EmbeddedOptions, EmbeddedStore, NoServer, find_server, start_embedded
from tests.support.stack import ROOT, gone
from tests.support.valkey import Valkey, private_valkey


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short path: a socket will lie in it."""
    path = Path(tempfile.mkdtemp(prefix="lge-"))
    yield path / "store"
    shutil.rmtree(path)


async def test_a_started_store_keeps_what_is_written(folder: Path) -> None:
    async with asyncio.timeout(30), start_embedded(folder) as store:
        with redis.Redis.from_url(store.url) as client:
            client.set("k", b"\x00\xff")

            assert client.get("k") == b"\x00\xff"


def test_nobody_else_may_enter_the_folder_and_there_is_no_port(shared_valkey: Valkey) -> None:
    with shared_valkey.client() as client:
        settings = client.config_get("port")

    assert stat.S_IMODE(shared_valkey.socket.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(shared_valkey.socket.stat().st_mode) == 0o600
    assert settings == {"port": "0"}


def test_a_folder_that_was_open_to_others_is_closed(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    Valkey(folder).kill()

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_full_store_refuses_writes_and_keeps_what_it_has() -> None:
    with private_valkey(EmbeddedOptions(max_memory_mb=3)) as server, server.client() as client:
        client.set("first", b"1")
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            deque((client.set(f"k{i}", bytes(100_000)) for i in range(100)), maxlen=0)

        assert client.get("first") == b"1"


def test_nothing_is_written_to_disk_unless_asked_to(folder: Path) -> None:
    server = Valkey(folder)
    with server.client() as client:
        client.set("k", b"1")
    asyncio.run(server.stop())

    assert [path.name for path in folder.iterdir()] == ["store.log"]


@pytest.mark.parametrize("was_stopped", [False, True])
async def test_a_kept_store_has_its_rows_again_after_a_restart_also_when_somebody_had_stopped_it(
    folder: Path, was_stopped: bool
) -> None:
    options = EmbeddedOptions(keep_in=folder / "kept")
    async with asyncio.timeout(30):
        async with start_embedded(folder, options) as store:
            with redis.Redis.from_url(store.url) as client:
                client.set("k", b"1")
            if was_stopped:
                os.kill(store.pid, signal.SIGSTOP)
        async with start_embedded(folder, options) as store:
            with redis.Redis.from_url(store.url) as client:
                found = client.get("k")

    assert found == b"1"


async def test_a_wrong_option_is_told_in_the_servers_own_words(folder: Path) -> None:
    store = EmbeddedStore(folder, EmbeddedOptions(arguments=("--no-such-option", "1")))

    with pytest.raises(NoServer, match="no-such-option"):
        await store.start()


async def test_the_end_of_the_server_is_noticed(folder: Path) -> None:
    async with asyncio.timeout(30), start_embedded(folder) as store:
        os.kill(store.pid, signal.SIGKILL)

        assert await store.wait() == -signal.SIGKILL
        assert not store.is_running


async def test_a_path_that_is_too_long_for_a_socket_is_refused_by_name(folder: Path) -> None:
    with pytest.raises(NoServer, match="at most 107 bytes"):
        await EmbeddedStore(folder / ("x" * 100)).start()


def test_the_server_dies_with_a_parent_that_is_killed(folder: Path) -> None:
    script = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from feature_cache.embedded import EmbeddedStore
store = EmbeddedStore(Path({str(folder)!r}))
asyncio.run(store.start())
print(store.pid, flush=True)
sys.stdin.read()
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    descriptor = os.pidfd_open(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()

    gone([descriptor])


def test_a_server_on_path_comes_before_the_one_of_the_package(tmp_path: Path) -> None:
    program = tmp_path / "valkey-server"
    program.write_text("#!/bin/sh\n", encoding="ascii")
    program.chmod(0o755)

    assert find_server({"PATH": str(tmp_path)}) == program


def test_without_one_on_path_the_program_of_the_package_is_taken() -> None:
    assert find_server({"PATH": ""}).name == "valkey-server"


def test_without_any_program_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feature_cache.embedded._PACKAGE", "no-such-package-here")

    with pytest.raises(NoServer, match=r"REDIS_URL.*lockgate\[embedded\]"):
        find_server({"PATH": ""})

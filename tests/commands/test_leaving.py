"""A process ends although threads of it hang: real processes, with a pipe that nobody writes to as the disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from gateway.commands.leaving import run
from gateway.core.errors import ConfigError

pipe, patience, how = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
own, is_reading = ThreadPoolExecutor(1, "own"), Event()

def read():
    is_reading.set()
    pipe.read_bytes()
    pipe.with_name("read").touch()

async def main():
    asyncio.get_running_loop().run_in_executor(own if how == "own" else None, read)
    is_reading.wait()
    own.shutdown(wait=False)
    if how == "refused":
        raise ConfigError("a", "b")
    return 3

sys.exit(run(main(), patience))
"""


def started(folder: Path, patience: float, how: str = "default") -> subprocess.Popen[str]:
    os.mkfifo(folder / "pipe")
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder / "pipe"), str(patience), how],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("how", ["default", "own"])
def test_a_process_whose_disk_hangs_ends_with_its_own_code_and_says_what_it_left(tmp_path: Path, how: str) -> None:
    with started(tmp_path, 0.05, how) as process:
        try:
            told = process.communicate(timeout=30)[0]
        finally:
            process.kill()

    assert process.returncode == 3
    assert "serve.left_without_threads" in told
    assert {"default": "asyncio_0", "own": "own_0"}[how] in told


def test_a_refusal_keeps_its_exit_code_although_the_disk_hangs(tmp_path: Path) -> None:
    with started(tmp_path, 0.05, "refused") as process:
        try:
            process.communicate(timeout=30)
        finally:
            process.kill()

    assert process.returncode == 2


def test_what_is_under_way_is_finished_where_it_does_not_hang(tmp_path: Path) -> None:
    with started(tmp_path, 60) as process:
        try:
            (tmp_path / "pipe").write_bytes(b"at last")
            told = process.communicate(timeout=30)[0]
        finally:
            process.kill()

    assert (process.returncode, told) == (3, "")
    assert (tmp_path / "read").exists()

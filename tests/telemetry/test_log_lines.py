from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from gateway.telemetry.logs import configure_logs


class Recorder(io.StringIO):
    """Keeps every write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str, /) -> int:
        self.writes.append(text)
        return len(text)


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_a_line_and_its_end_are_one_write_so_that_processes_do_not_mix_theirs() -> None:
    stream = Recorder()
    configure_logs("info", stream, is_terminal=False)

    structlog.get_logger().info("something.happened")

    assert len(stream.writes) == 1
    assert stream.writes[0].endswith("}\n")


def test_workers_write_whole_lines_too() -> None:
    script = "import io, sys\nclass Out(io.StringIO):\n  def write(self, text): print(repr(text))\nsys.stderr = Out()\n"
    script += "from workers.__main__ import log_to_stderr; import structlog\n"
    script += "log_to_stderr(); structlog.get_logger().info('something.happened')"
    lines = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.splitlines()

    assert len(lines) == 1
    assert lines[0].endswith("}\\n'")

from __future__ import annotations

import asyncio
import io
import os

from rich.console import Console

from gateway.commands.child_logs import ChildLogs, child_logs

INFO = '{"event": "pool.connected", "level": "info", "worker": "a/0"}'
WARNING = '{"event": "pool.worker_lost", "level": "warning", "worker": "a/0"}'


def shown(*lines: str, is_quiet: bool) -> str:
    stream = io.StringIO()
    logs = ChildLogs(Console(file=stream, width=200), 2, 0)
    logs.is_quiet = is_quiet
    for line in lines:
        logs.show(line)
    return stream.getvalue()


def test_an_event_is_shown_in_the_form_for_people() -> None:
    text = shown(INFO, is_quiet=False)

    assert "pool.connected" in text
    assert "worker=a/0" in text
    assert "{" not in text


def test_while_quiet_only_what_is_not_routine_is_shown() -> None:
    text = shown(INFO, WARNING, is_quiet=True)

    assert "pool.worker_lost" in text
    assert "pool.connected" not in text


def test_what_is_no_event_is_shown_as_it_is() -> None:
    assert shown("Error in [library]: no package", is_quiet=True) == "Error in [library]: no package\n"


def test_elsewhere_than_at_a_terminal_standard_error_is_left_alone() -> None:
    with child_logs(Console(file=io.StringIO()), "info") as logs:
        assert logs is None


class Seen(io.StringIO):
    """Tells when a word was written."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self._word, self.seen = word, asyncio.Event()

    def write(self, text: str) -> int:
        if self._word in text:
            self.seen.set()
        return super().write(text)


async def test_lines_of_any_process_are_followed() -> None:
    stream = Seen("two")
    source, descriptor = os.pipe()
    logs = ChildLogs(Console(file=stream, width=200), descriptor, source)
    async with asyncio.timeout(10), logs.followed():
        os.write(descriptor, b"one\ntwo\n")
        os.close(descriptor)
        await stream.seen.wait()
    os.close(source)

    assert stream.getvalue() == "one\ntwo\n"

"""
Runs the supervisor so that it can end although a disk does not answer.

Whatever may hang with a disk or a name server is done in threads. Python waits for every one of them without a bound,
at the end of the event loop and again at the end of the interpreter, and a read of a network mount that has gone never
returns: nothing would be served any more, and the process would stay. Here the loop waits for none of them. Whoever is
left then has a few seconds, for a write that is under way, and the process ends without them.

What the kernel itself does not let go of, not even by SIGKILL, keeps the process in any case; and what is read on the
event loop is not covered, such as the files of keys: their folders are expected to answer.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Any

import structlog

from gateway.core.errors import ConfigError

__all__ = ["run"]

log = structlog.get_logger()

_PATIENCE = 5.0
_RAISED, _REFUSED = 1, 2
"""Exit codes of the command where there is none (``gateway.cli``)."""


class _Unwaited(ThreadPoolExecutor):
    """Whose threads the end of the loop does not wait for."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        super().shutdown(wait=False, cancel_futures=cancel_futures)


def run(main: Coroutine[Any, Any, int], patience: float = _PATIENCE) -> int:
    """
    The exit code that ``main`` returns, as ``asyncio.run`` does it. To be called when little but the end of the process
    is to follow: threads that ``main`` has left behind end it after ``patience`` seconds.
    """
    before = threading.enumerate()
    code = _RAISED
    try:
        with asyncio.Runner() as runner:
            runner.get_loop().set_default_executor(_Unwaited(thread_name_prefix="asyncio"))
            code = runner.run(main)
    except ConfigError:
        code = _REFUSED
        raise
    finally:
        left = [thread for thread in threading.enumerate() if not thread.daemon and thread not in before]
        if left:
            threading.Thread(target=_end, args=(left, patience, code), name="leaving", daemon=True).start()
    return code


def _end(left: Sequence[threading.Thread], patience: float, code: int) -> None:
    deadline = monotonic() + patience
    for thread in left:
        thread.join(max(0.0, deadline - monotonic()))
    hanging = [thread.name for thread in left if thread.is_alive()]
    if not hanging:
        return
    log.warning("serve.left_without_threads", threads=hanging, waited_s=patience)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)

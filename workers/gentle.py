"""
Lets a group of workers load, and leave, without getting in the way of those that serve.

Loading and warming up is seconds of CPU on cores on which others answer requests; at equal priority each of their
wake-ups can find the core taken for a whole slice of the scheduler. Measured (Linux 6.18, one core, a task that wakes
every half millisecond beside one that computes; p99 of 1 ms of work): 1.1 ms alone, 4.9 ms with the other at normal
priority. What helps depends on where we run, so both are done:

- The scheduler may divide the CPU between *sessions* (autogroup: the usual case outside of containers). Then nothing
  that is said about one process counts beyond its session: with nice 19, SCHED_BATCH or SCHED_IDLE it stayed at 4.9 ms.
  The session itself is given nice 19: 1.2 ms. Each child has a session of its own, and this takes no privilege.
- Elsewhere the processes get SCHED_IDLE: 1.1 ms, as with nice 19; SCHED_BATCH changes nothing (4.9 ms). SCHED_IDLE and
  not nice, because the nice value stays what the operator chose, and because the kernel then puts reads from disk
  behind those of others too. To leave it again takes CAP_SYS_NICE or RLIMIT_NICE; where that is missing a process would
  keep it for ever, so it is tried beforehand, in a thread of its own, and then left out.

To leave takes CPU as well: an R worker with its zygote needs 80 ms to end and to give back its memory, one of ONNX 25.
Whoever leaves does not come back, so there it is a nice value, for which no right is needed. It is 10, a tenth of what
others get: with the lowest a group takes ten seconds to leave a core that is busy throughout, and the next model that
is to load waits for it.

All of it is done to the children from outside, so that no runtime has to know. Whatever a process starts inherits it:
the workers that are forked from an R zygote, the threads of ONNX Runtime. So the end is done to every thread of the
session, and again until none is found.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

__all__ = ["begin", "can_return", "end", "leave"]

_NORMAL = (os.SCHED_OTHER, os.SCHED_BATCH)
_NO_OPTIONS = os.sched_param(0)
_LOWEST, _LEAVING, _NORMAL_GROUP = "19", "10", "0"
_PASSES = 10
"""A zygote may fork while its session is gone through; what it forks after it was given its due is normal already."""
_TRIES = 20
"""The kernel takes ten changes of a session's priority a second from everybody together, unless they are privileged."""
_PAUSE = 0.06
_FOR_NOW = (errno.EAGAIN, errno.EMFILE, errno.ENFILE)


def can_return() -> bool:
    """Whether a process of ours that is at SCHED_IDLE may go back to normal; asked of the kernel by doing it."""
    own = os.sched_getscheduler(0)
    if own not in _NORMAL:
        return False

    def there_and_back() -> bool:
        try:
            os.sched_setscheduler(0, os.SCHED_IDLE, _NO_OPTIONS)  # of this thread alone, which ends with the answer
            os.sched_setscheduler(0, own, _NO_OPTIONS)
        except OSError:
            return False
        return True

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(there_and_back).result()


def begin(pid: int) -> None:
    """Put a process that has just been started, the leader of a session, behind all others."""
    with suppress(OSError):  # no autogroups in this kernel, or the process has gone
        _autogroup(pid).write_text(_LOWEST, encoding="ascii")
    if can_return():
        with suppress(OSError):
            os.sched_setscheduler(pid, os.SCHED_IDLE, _NO_OPTIONS)


async def end(session: int) -> None:
    """Everything in the session of this leader runs as we do, from when this returns; bounded to about a second."""
    for _ in range(_PASSES):
        try:
            if not _ended(session):
                break
        except OSError:  # not a descriptor is left to look with
            await asyncio.sleep(_PAUSE)
    await _set_autogroup(session, _NORMAL_GROUP)


async def leave(session: int) -> None:
    """Everything in the session of this leader is behind all others for the rest of its life; bounded likewise."""
    with suppress(OSError):  # as above; then it leaves at the priority that it has
        for thread in _threads(session):
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, thread, max(int(_LEAVING), os.getpriority(os.PRIO_PROCESS, thread)))
    await _set_autogroup(session, _LEAVING)


def _ended(session: int) -> bool:
    """Whether there was a thread that had to be given its due."""
    own, found = os.sched_getscheduler(0), False
    for thread in _threads(session):
        with suppress(OSError):
            if os.sched_getscheduler(thread) == os.SCHED_IDLE != own:
                found = True
                os.sched_setscheduler(thread, own, _NO_OPTIONS)
    return found


async def _set_autogroup(session: int, niceness: str) -> None:
    for _ in range(_TRIES):
        try:
            _autogroup(session).write_text(niceness, encoding="ascii")
        except OSError as error:
            if error.errno not in _FOR_NOW:
                return
            await asyncio.sleep(_PAUSE)
        else:
            return


def _autogroup(pid: int) -> Path:
    return Path(f"/proc/{pid}/autogroup")


def _threads(session: int) -> Iterator[int]:
    """Raises ``OSError`` where nobody can look."""
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            with suppress(OSError):
                # Asked of the kernel: to read the file of each process took 5 ms, on a core of those that serve.
                if os.getsid(int(name)) == session:
                    yield from [int(thread) for thread in os.listdir(f"/proc/{name}/task")]  # noqa: PTH208

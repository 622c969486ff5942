"""
Turns into another program that dies with its parent and runs on given cores only.

``python -I -S launch.py PARENT_PID CORES PROGRAM [ARGUMENT…]``: both settings survive ``exec``. This is a program of
its own, ten milliseconds long, because the alternative is to run Python code between ``fork`` and ``exec`` in a parent
that has threads. It is started by path and imports nothing of ours.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Never returns, unless the parent has gone already."""
    parent, cores, *program = argv
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # The parent may have died before the call: then nobody would send the signal.
    if os.getppid() != int(parent):
        return
    if cores:
        os.sched_setaffinity(0, [int(core) for core in cores.split(",")])
    os.execvp(program[0], program)  # noqa: S606  # this is the point of the file


if __name__ == "__main__":
    main(sys.argv[1:])

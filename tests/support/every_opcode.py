"""
What another thread does between two steps of this one: tried at every opcode, one after another, on one thread.

The interpreter changes threads between opcodes only, so this finds every interleaving with something that another
thread does in one go.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeAlias

__all__ = ["Trial", "at_every_opcode"]

Trial: TypeAlias = tuple[Callable[[], object], Callable[[], object]]
"""What runs, and what happens once meanwhile."""


def at_every_opcode(module: str, trials: Iterator[Trial]) -> int:
    """
    In the first trial it happens before the first opcode of ``module``, in the next before the second, and so on until
    what runs has no more of them. How many that were.
    """
    for number, (run, meanwhile) in enumerate(trials):
        left = number

        def trace(frame: FrameType, event: str, _: Any, meanwhile: Callable[[], object] = meanwhile) -> Any:
            nonlocal left
            if frame.f_globals.get("__name__") != module:
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            if event == "opcode":
                left -= 1
                if left == -1:
                    meanwhile()
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            run()
        finally:
            sys.settrace(before)
        if left >= 0:
            return number
    raise AssertionError("the trials are over before what runs is")

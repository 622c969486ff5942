"""A runtime that does what the first row of a batch says; anything else it answers with the row itself."""

from __future__ import annotations

import os
from enum import IntEnum
from pathlib import Path
from threading import Event
from typing import ClassVar

import numpy as np

from workers.options import GroupOptions
from workers.runtimes.base import Batch, BatchInvalid, Loaded, LoadError, ModelError, ModelTimeout, Result, Runtime
from workers.schema import Column, Schema

__all__ = ["Do", "ScriptedRuntime", "loaded"]


class Do(IntEnum):
    """Commands, as values of the only column."""

    RAISE = -1
    """The model raises."""
    CRASH = -2
    """The runtime itself has a bug."""
    HANG = -3
    """Compute until interrupted."""
    HANG_FOR_EVER = -4
    """Compute, and ignore interrupts."""
    WAIT = -5
    """Compute until somebody writes to the FIFO ``gate`` in the model's folder."""
    TIRE = -6
    """Be due for a rest from now on."""
    REFUSE = -7
    """Find the batch invalid."""


def loaded() -> Loaded:
    column = Column(name="x", kind="integer", datatype="INT64")
    return Loaded(schema=Schema(inputs=(column,), outputs=(column,)), platform="scripted", runtime="scripted 1")


class ScriptedRuntime(Runtime):
    """``model`` is a folder; it fails to load from one that holds a file ``broken``."""

    loads_before_fork: ClassVar[bool] = False

    def __init__(self, group: GroupOptions) -> None:
        self._folder = Path(group.model)
        self._interrupted = Event()
        self._is_due = False

    def load(self) -> Loaded:
        if (self._folder / "broken").exists():
            raise LoadError("the model is broken")
        return loaded()

    def score(self, batch: Batch) -> Result:
        first = int(np.frombuffer(batch.records, "<i8")[0])
        match first:
            case Do.RAISE:
                raise ModelError("no such level", kind="simpleError")
            case Do.CRASH:
                raise AttributeError("a bug")
            case Do.REFUSE:
                raise BatchInvalid("not this one")
            case Do.HANG:
                self._interrupted.wait(30)
                raise ModelTimeout
            case Do.HANG_FOR_EVER:
                Event().wait(30)
            case Do.WAIT:
                os.close(os.open(self._folder / "gate", os.O_RDONLY))  # blocks until it is opened for writing
            case Do.TIRE:
                self._is_due = True
        return Result(batch.records)

    def interrupt(self) -> None:
        self._interrupted.set()

    @property
    def is_due(self) -> bool:
        return self._is_due

    def rest(self) -> None:
        self._is_due = False
        (self._folder / "rested").write_text("once")

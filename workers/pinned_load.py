"""
Loads a model only from the files that its group was started for.

Files may be replaced in place while the version that they belong to is refused, or still loads elsewhere. Whoever loads
them then, such as a worker in place of a dead one, would answer with the new model in the name of the old version. So
it does not load at all, and those that are there serve on.
"""

from __future__ import annotations

from workers.model_digest import FilesUnreadable, model_digest
from workers.options import GroupOptions
from workers.runtimes.base import Loaded, LoadError, Runtime
from workers.warmup import load_warm

__all__ = ["load_pinned"]


def load_pinned(runtime: Runtime, group: GroupOptions) -> Loaded:
    """
    Load and warm up ``group.model`` if its files have ``group.digest`` before and after. Raises ``LoadError``.

    Where the model is shared with forked workers (R) this happens once, in their parent: a worker that is forked again
    has what its parent has, and reads nothing. Where each worker loads (ONNX), each compares.
    """
    _refuse_others(group)
    loaded = load_warm(runtime, group)
    _refuse_others(group)  # they may have changed while they were read
    return loaded


def _refuse_others(group: GroupOptions) -> None:
    if not group.digest:
        return
    try:
        found = model_digest(group.model)
    except FilesUnreadable as error:
        raise LoadError(str(error)) from error
    if found != group.digest:
        raise LoadError(f"{group.model}: the model's files have changed since this deployment was started")

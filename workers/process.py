"""
One worker process: what a forked child does from its first instruction to its exit code.

Nothing here imports grpc or a numeric library at module level: the parent imports this module before it forks, and
R's parent must fork before gRPC has started its threads.
"""

from __future__ import annotations

from workers.options import GroupOptions, WorkerOptions
from workers.runtimes.base import Loaded, Runtime

__all__ = ["run_worker"]


def run_worker(options: WorkerOptions, group: GroupOptions, runtime: Runtime, loaded: Loaded | None) -> int:
    """
    Serve one model until told to leave; returns the exit code (``workers.lifecycle.Exit``) for ``os._exit``.

    ``loaded`` is what ``runtime.load()`` gave in the parent, or None where the model is loaded here. Expects to be the
    only thread, on the main thread of a forked child. Writes JSON lines to file descriptor 1, one ``write`` each, below
    PIPE_BUF: ``{"event": "loading"|"ready"|"failed", "worker": name, "message"?: text}``; ``forked`` and ``exited`` are
    the parent's to tell.
    """
    raise NotImplementedError

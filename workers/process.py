"""
One worker process: what a forked child does from its first instruction to its exit code.

Nothing here imports grpc or a numeric library at module level: the parent imports this module before it forks, and
R's parent must fork before gRPC has started its threads.

Four threads: the model's, which is the main one; the server's; a watchdog; and one that waits for SIGTERM, because
Python runs signal handlers on the main thread only, and that one may sit in a model for seconds.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic

import structlog

from workers.events import emit
from workers.lifecycle import Exit, Lifecycle, State
from workers.options import GroupOptions, WorkerOptions
from workers.runtimes.base import Loaded, LoadError, Runtime
from workers.threads import limit_threads

__all__ = ["run_worker"]

log = structlog.get_logger()

_PR_SET_PDEATHSIG = 1


def run_worker(
    options: WorkerOptions, group: GroupOptions, runtime: Runtime, loaded: Loaded | None, parent: int = 0
) -> int:
    """
    Serve one model until told to leave; returns the exit code (``workers.lifecycle.Exit``) for ``os._exit``.

    ``loaded`` is what ``load_pinned`` gave in the parent, or None where the model is loaded here. ``parent`` is the
    parent's process id: a child whose parent died before it could ask to die with it leaves at once. Expects to be
    the only thread, on the main thread of a forked child. Emits ``loading``, ``ready`` and ``failed`` (see
    ``workers.events``); ``forked`` and ``exited`` are the parent's to tell.
    """
    _die_with_parent()
    if parent and os.getppid() != parent:
        return Exit.DRAINED
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # before any thread: each inherits the mask
    if options.cores:
        os.sched_setaffinity(0, options.cores)
    limit_threads(os.environ, group.threads)
    if loaded is not None:
        runtime.forked()
        return _serve(options, group, runtime, loaded)
    emit("loading", worker=options.name)
    from workers.pinned_load import load_pinned

    try:
        loaded = load_pinned(runtime, group)
    except LoadError as error:
        return _failed(options, error, Exit.LOAD_FAILED)
    return _serve(options, group, runtime, loaded)


def _serve(options: WorkerOptions, group: GroupOptions, runtime: Runtime, loaded: Loaded) -> int:
    from workers.codec import BatchCodec, describe
    from workers.inbox import Inbox
    from workers.memory import MemoryLimit
    from workers.model_loop import ModelLoop
    from workers.scoring import Scoring
    from workers.server import ServeError, Server, WorkerServicer
    from workers.tls import LinkContext, LinkFiles, LinkTlsError
    from workers.turns import Turn, turn_path
    from workers.warning_log import WarningLog
    from workers.watchdog import Watchdog

    codec, inbox = BatchCodec(loaded), Inbox()
    description = describe(loaded)

    def servicer() -> WorkerServicer:
        return WorkerServicer(
            codec=codec,
            inbox=inbox,
            at_once=loop.at_once,
            lifecycle=lifecycle,
            description=description,
            drain=loop.drain,
        )

    tls = None
    if (link := group.tls) is not None:
        try:
            tls = LinkContext(LinkFiles(Path(link.ca), Path(link.certificate), Path(link.key)), is_server=True)
        except LinkTlsError as error:
            return _failed(options, error, Exit.SERVE_FAILED)
    server = Server(options.address, servicer, group.grpc_engine, tls=tls)
    lifecycle = Lifecycle(server.announce)
    watchdog = Watchdog(runtime.interrupt, monotonic, group.interrupt_grace_ms / 1000)
    timeout = group.timeout_ms / 1000
    scoring = Scoring(
        runtime=runtime,
        codec=codec,
        watchdog=watchdog,
        warnings=WarningLog(options.name, monotonic),
        timeout=timeout,
        clock=monotonic,
    )
    loop = ModelLoop(
        runtime=runtime,
        scoring=scoring,
        inbox=inbox,
        lifecycle=lifecycle,
        watchdog=watchdog,
        memory=MemoryLimit(group.memory_limit_mb, monotonic),
        turn=Turn(turn_path(group)) if len(group.workers) > 1 else None,
        timeout=timeout,
        clock=monotonic,
    )
    lifecycle.move(State.READY)
    gc.collect()
    gc.freeze()  # what is loaded stays: no later collection has to walk it
    try:
        server.start()
    except ServeError as error:
        return _failed(options, error, Exit.SERVE_FAILED)
    watchdog.start()
    drain = partial(loop.drain, group.drain_ms / 1000)
    threading.Thread(target=_on_sigterm, args=(drain,), name="signals", daemon=True).start()
    emit("ready", worker=options.name, pid=os.getpid())
    code = loop.run()
    server.stop(loop.unfinished)
    log.info("worker.left", worker=options.name, code=int(code), unfinished=loop.unfinished)
    return code


def _on_sigterm(drain: Callable[[], None]) -> None:
    signal.sigwait({signal.SIGTERM})
    drain()


def _die_with_parent() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        log.warning("worker.outlives_its_parent", errno=ctypes.get_errno())


def _failed(options: WorkerOptions, error: Exception, code: Exit) -> int:
    emit("failed", worker=options.name, error=str(error))
    log.error("worker.failed", worker=options.name, error=str(error))
    return code

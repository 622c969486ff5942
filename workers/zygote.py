"""
The parent of all workers of one deployment: loads once where the runtime can share, forks, and forks again.

A fork of a process that has R and the model in memory takes milliseconds, where a start takes a second; and the model's
pages are shared. What makes that safe is that this process never has a second thread: it is checked before every fork.
gRPC is *imported* here all the same, because that starts no thread (tried with grpcio 1.85, GRPC_ENABLE_FORK_SUPPORT=0)
and saves each child 75 of 80 ms; no gRPC object is ever *made* here.

A child that dies is back at once, then with growing waits while it dies young (``workers.restart``). One that cannot
load the model, such as when its files were replaced, is tried again much later while others live, which serve on; one
that cannot be forked, sooner. The last one takes the group with it, and whoever started the group tries again. SIGTERM
is passed on, children get ``drain_ms`` to finish what they accepted, and what is then left is killed.

The death of whoever started the group is told by SIGCONT and means the same as SIGTERM, but for a model that still
loads: that ends at once. A pending SIGTERM does nothing to a process that somebody has stopped; SIGCONT wakes it, and
another parent tells it from everybody else's.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import structlog

from workers.environment import is_prepared, restart_prepared
from workers.events import claim_stdout, emit
from workers.options import GroupOptions, WorkerOptions
from workers.own_folder import own_folder
from workers.restart import LOAD_FAILED, RELOAD_WAIT, Backoff

__all__ = ["Group", "run_group"]

log = structlog.get_logger()

_PR_SET_PDEATHSIG = 1
_WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGCONT)
_PRELOADED = (
    "grpc.aio",
    "workers.codec",
    "workers.model_loop",
    "workers.pinned_load",
    "workers.process",
    "workers.server",
)
"""What every child would import by itself; none of it starts a thread."""
_LONGEST = 1e9
"""Seconds: ``sigtimedwait`` refuses more than a few times that."""
_CRASHED = 70
"""Exit status of a child whose own code raised (EX_SOFTWARE of sysexits.h)."""

Work = Callable[[WorkerOptions], int]
"""What a child does; the answer is its exit status."""


def run_group(group: GroupOptions) -> int:
    """Run all workers of ``group`` until SIGTERM; returns the exit status. Runs the whole program anew once."""
    from workers.loader import detect, open_runtime
    from workers.runtimes.base import LoadError

    try:
        engine = detect(Path(group.model))
        if not is_prepared(os.environ):
            restart_prepared(group.threads, needs_stack=engine == "r")
        claim_stdout()
        _die_with_parent(signal.SIGKILL)  # until there is something to drain
        _close_stdin()
        with own_folder() as folder:
            os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
            runtime = open_runtime(group)
            emit("loading")
            from workers.pinned_load import load_pinned

            loaded = load_pinned(runtime, group) if runtime.loads_before_fork else None
            for module in _PRELOADED:
                importlib.import_module(module)
            from workers.process import run_worker

            parent = os.getpid()

            def work(options: WorkerOptions) -> int:
                return run_worker(options, group, runtime, loaded, parent)

            return Group(group.workers, work, drain=group.drain_ms / 1000, folder=folder).run()
    except LoadError as error:
        emit("failed", error=str(error))
        log.error("workers.load_failed", error=str(error))
        return LOAD_FAILED


@dataclass(slots=True)
class _Child:
    """One worker through all its lives."""

    options: WorkerOptions
    backoff: Backoff
    pid: int = 0
    born: float = 0.0
    due: float | None = 0.0
    """When to fork it; None while it lives or after it has left for good."""
    folder: Path = field(default_factory=Path)
    """Of this life: what a life has left there may be in the way of the next."""


class Group:
    """Forks ``work`` for every worker and keeps them alive until told to stop."""

    def __init__(
        self,
        workers: list[WorkerOptions],
        work: Work,
        *,
        drain: float,
        folder: Path,
        reload_wait: float = RELOAD_WAIT,
    ) -> None:
        self._work = work
        self._folder = folder
        self._drain, self._reload_wait = min(drain, _LONGEST), reload_wait
        self._children = [_Child(options, Backoff(random.random)) for options in workers]

    def run(self) -> int:
        """Until SIGTERM or SIGINT, or until no worker or no parent is left; returns the exit status."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        parent = os.getppid()
        _die_with_parent(signal.SIGCONT)
        gc.collect()
        gc.freeze()  # what lives now lives on: no child has to touch it
        while os.getppid() == parent:
            now = monotonic()
            for child in self._children:
                if child.due is not None and child.due <= now:
                    self._fork(child)
            dues = [child.due for child in self._children if child.due is not None]
            if not dues and not any(child.pid for child in self._children):
                return 0
            if dues:
                received = signal.sigtimedwait(_WATCHED, max(0.0, min(dues) - monotonic()))
            else:
                received = signal.sigwaitinfo(_WATCHED)
            if received is not None and received.si_signo in (signal.SIGTERM, signal.SIGINT):
                break
            if self._reap() == LOAD_FAILED:
                self._stop()
                return LOAD_FAILED
        self._stop()
        return 0

    def _fork(self, child: _Child) -> None:
        threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
        if threads != 1:
            raise RuntimeError(f"{threads} threads before a fork: something that was imported or loaded started one")
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        try:
            child.pid = self._fork_with_folder(child)
        except OSError as error:  # no process left to have, or no disk: the others must not end for it
            if not any(other.pid for other in self._children):
                raise
            wait = child.backoff.died(os.EX_OSERR, 0.0)
            child.due = monotonic() + wait
            log.warning("workers.worker_not_forked", worker=child.options.name, error=str(error), wait=wait)
            return
        if child.pid == 0:
            self._live(child, parent)
        child.born, child.due = monotonic(), None
        emit("forked", worker=child.options.name, pid=child.pid)

    def _fork_with_folder(self, child: _Child) -> int:
        child.folder = Path(tempfile.mkdtemp(prefix="worker-", dir=self._folder))
        try:
            return os.fork()
        except OSError:
            child.folder.rmdir()
            raise

    def _live(self, child: _Child, parent: int) -> None:
        """The child, from fork to exit: nothing of the parent's stack may run on."""
        status = _CRASHED
        try:
            _die_with_parent(signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(0)
            for number in (*_WATCHED, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            # SIGTERM stays blocked: it waits for the thread that process.py makes for it, and is never lost.
            signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGTERM})
            os.environ["TMPDIR"] = tempfile.tempdir = str(child.folder)
            status = self._work(child.options)
        except BaseException:  # noqa: BLE001  # the last frame of this process: there is nobody to raise to
            traceback.print_exc()
        finally:
            with suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> int:
        """Note the dead and when they come back; returns ``LOAD_FAILED`` if none lives and none can load."""
        verdict = 0
        for child in self._children:
            if not child.pid:
                continue
            pid, waited = os.waitpid(child.pid, os.WNOHANG)
            if pid == 0:
                continue
            status = self._buried(child, waited)
            lived = monotonic() - child.born
            if status == LOAD_FAILED and not any(other.pid for other in self._children):
                verdict = LOAD_FAILED
            elif status != 0:
                wait = child.backoff.died(status, lived)
                if status == LOAD_FAILED:
                    wait = self._reload_wait
                child.due = monotonic() + wait
                log.warning("workers.worker_died", worker=child.options.name, status=status, lived=lived, wait=wait)
        return verdict

    def _buried(self, child: _Child, waited: int) -> int:
        status = os.waitstatus_to_exitcode(waited)
        emit("exited", worker=child.options.name, pid=child.pid, status=status)
        child.pid = 0
        shutil.rmtree(child.folder, ignore_errors=True)
        return status

    def _stop(self) -> None:
        """Ask every child to leave, wait for the drain time, kill the rest."""
        for child in self._children:
            child.due = None
            if child.pid:
                os.kill(child.pid, signal.SIGTERM)
                os.kill(child.pid, signal.SIGCONT)  # who is stopped would hold all up for the whole drain time
        deadline = monotonic() + self._drain
        while self._wait_for_all():
            left = deadline - monotonic()
            if left <= 0 or signal.sigtimedwait((signal.SIGCHLD,), left) is None:
                break
        for child in self._children:
            if child.pid:
                log.warning("workers.worker_killed", worker=child.options.name, pid=child.pid)
                os.kill(child.pid, signal.SIGKILL)
                self._buried(child, os.waitpid(child.pid, 0)[1])

    def _wait_for_all(self) -> bool:
        """Bury who has left; whether anybody is still there."""
        for child in self._children:
            if child.pid:
                pid, waited = os.waitpid(child.pid, os.WNOHANG)
                if pid:
                    self._buried(child, waited)
        return any(child.pid for child in self._children)


def _die_with_parent(number: signal.Signals) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        log.warning("workers.outlive_their_parent", errno=ctypes.get_errno())


def _close_stdin() -> None:
    """A model that asks a question gets an end of file."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)

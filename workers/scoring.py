"""
One batch at a time through the runtime, under the watchdog: from a job to the reply that its caller gets.

Batches come from two threads. The model's thread takes them out of the inbox; the server's thread scores one itself
(``at_once``) when the runtime allows it, the model is idle and will need a millisecond at most, by what it took for its
last batches and as if time grew with the rows. A worker has one core, so handing such a batch over and its reply back
would buy nothing and cost four switches between threads; what takes longer stays on the model's own thread, because the
server's must go on reading: a batch counts its budget from when it is read. What else makes a batch slow is only known
afterwards: one of them may hold the server up, the next ones do not.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import structlog

from workers.codec import BatchCodec, failed
from workers.inbox import Job
from workers.runtimes.base import BatchInvalid, ModelError, ModelTimeout, Runtime
from workers.warning_log import WarningLog
from workers.watchdog import Watchdog
from workers.wire.v1 import worker_pb2 as wire

__all__ = ["Scoring"]

log = structlog.get_logger()

_BRIEF = 0.001
"""Seconds of computing for which the server's thread may be held up."""
_SHORTEST = 1e-6
"""Seconds that any batch takes, also on a clock that did not see it."""


class Scoring:
    """``timeout`` is in seconds, for batches without a deadline of their own."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        codec: BatchCodec,
        watchdog: Watchdog,
        warnings: WarningLog,
        timeout: float,
        clock: Callable[[], float],
    ) -> None:
        self._runtime, self._codec, self._watchdog, self._warnings = runtime, codec, watchdog, warnings
        self._timeout, self._clock = timeout, clock
        self._lock = Lock()
        self._is_closed = False
        self._most = 0
        """Rows that the model is known to score briefly. Nothing is known while it computes, nor after a batch that was
        slow or had no answer."""

    def score(self, job: Job) -> wire.Reply:
        """The reply to ``job``, once no other batch is computing."""
        with self._lock:
            return self._score(job)

    def at_once(self, job: Job) -> wire.Reply | None:
        """The reply to ``job``; None where the model is at work, slow, leaving, or must stay on its own thread."""
        most = self._most
        if not most or job.batch.rows > most or not self._runtime.scores_anywhere:
            return None
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return None if self._is_closed else self._score(job)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Wait for the batch that is computing; from here on ``at_once`` scores none."""
        with self._lock:
            self._is_closed = True

    def _score(self, job: Job) -> wire.Reply:
        started = self._clock()
        if job.deadline is not None and started >= job.deadline:
            return failed(job.id, wire.Failure.TIMEOUT, "the budget was over before its turn")
        batch = job.batch
        self._watchdog.begin(started + self._timeout if job.deadline is None else job.deadline)
        most, self._most = self._most, 0
        try:
            result = self._runtime.score(batch)
            took = self._clock() - started
            if took <= _BRIEF:
                self._most = max(most, int(batch.rows * _BRIEF / max(took, _SHORTEST)))
            if result.warnings:
                self._warnings.tell(result.warnings)
            return self._codec.encode(job.id, batch.rows, result, int(took * 1e9))
        except ModelError as error:
            if error.warnings:
                self._warnings.tell(error.warnings)
            return failed(job.id, wire.Failure.MODEL, str(error), error.kind)
        except ModelTimeout:
            return failed(job.id, wire.Failure.TIMEOUT, "stopped at its budget")
        except BatchInvalid as error:
            return failed(job.id, wire.Failure.INVALID, str(error))
        except Exception as error:  # the fence of the worker's request: one batch must not end the process
            log.exception("worker.batch_crashed", rows=batch.rows)
            return failed(job.id, wire.Failure.INTERNAL, "the worker failed", type(error).__name__)
        finally:
            self._watchdog.end()

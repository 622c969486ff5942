"""What the admin API shows of one worker, taken at one moment."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.pool.channel import WorkerChannel

__all__ = ["WorkerSnapshot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSnapshot:
    address: str
    state: str
    breaker: str
    rows_in_flight: int
    batches_in_flight: int
    restarts: int
    pid: int
    """0 until it has described itself."""
    device: str
    runtime: str

    @staticmethod
    def of(channel: WorkerChannel) -> WorkerSnapshot:
        facts = channel.description
        return WorkerSnapshot(
            address=channel.address,
            state=channel.state.value,
            breaker=channel.breaker.state.value,
            rows_in_flight=channel.flight.rows,
            batches_in_flight=channel.flight.batches,
            restarts=channel.restarts,
            pid=facts.pid if facts else 0,
            device=facts.device if facts else "",
            runtime=facts.runtime if facts else "",
        )

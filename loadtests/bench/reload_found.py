"""What the changes of the served folder and the loads found, worked out from the samples of both halves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from loadtests.bench.progress import Taken
from loadtests.bench.quantile import quantile
from loadtests.bench.spread import QuantileRatio, quantile_ratio
from loadtests.bench.steady import Sample

__all__ = ["Changes", "Disturbed", "Reloaded", "Window", "by_kind", "disturbed", "within"]

Window = tuple[float, float]
"""From and until, on the monotonic clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """All changes of one kind."""

    kind: str
    count: int
    failed: int
    """Requests under way during such a change that were not answered 200 or OK."""
    p50_s: float
    """From writing the file to every process running it."""
    max_s: float
    settled_max_s: float
    """Until what was replaced had ended too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbed:
    """One endpoint that does not change, without and with another model loading; milliseconds."""

    endpoint: str
    requests: int
    """That counted."""
    stolen: float
    """Share of the answered ones that did not count, because the host took a core meanwhile."""
    p50: QuantileRatio
    p99: QuantileRatio
    p99_with_stolen: QuantileRatio
    """Of all that were answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """The whole part."""

    changes: Sequence[Changes]
    requests: int
    """Of both halves."""
    failures: Mapping[str, int]
    """What failed in all, by how."""
    loads: int
    load_p50_s: float
    disturbed: Sequence[Disturbed]
    lag_p99_ms: float
    """How late the generator was."""
    foreign: float
    """As in ``Measurement``, while it was quiet."""


def by_kind(taken: Iterable[tuple[str, Taken]], samples: Sequence[Sample]) -> list[Changes]:
    """A failed request counts for the change that was under way while it was."""
    alike: dict[str, list[Taken]] = {}
    for kind, one in taken:
        alike.setdefault(kind, []).append(one)
    failed = [sample for sample in samples if sample.failure]
    return [
        Changes(
            kind=kind,
            count=len(those),
            failed=sum(
                any(sample.due <= one.settled and sample.due + sample.seconds >= one.written for one in those)
                for sample in failed
            ),
            p50_s=quantile(sorted(one.running - one.written for one in those), 0.5),
            max_s=max(one.running - one.written for one in those),
            settled_max_s=max(one.settled - one.written for one in those),
        )
        for kind, those in alike.items()
    ]


def disturbed(endpoint: str, samples: Iterable[Sample], windows: Iterable[tuple[Window, Window]]) -> Disturbed:
    """``samples`` of that endpoint, ``windows`` in pairs: quiet, and loading."""
    answered = [sample for sample in samples if not sample.failure]
    calm = [sample for sample in answered if sample.counts]
    every = [(within(answered, *quiet), within(answered, *loading)) for quiet, loading in windows]
    pairs = [(within(calm, *quiet), within(calm, *loading)) for quiet, loading in windows]
    return Disturbed(
        endpoint=endpoint,
        requests=_count(pairs),
        stolen=1 - _count(pairs) / max(1, _count(every)),
        p50=quantile_ratio(pairs, 0.50),
        p99=quantile_ratio(pairs, 0.99),
        p99_with_stolen=quantile_ratio(every, 0.99),
    )


def within(samples: Iterable[Sample], start: float, end: float) -> list[float]:
    """The milliseconds of what was due then."""
    return [sample.seconds * 1000 for sample in samples if start <= sample.due < end]


def _count(pairs: Iterable[tuple[list[float], list[float]]]) -> int:
    return sum(len(quiet) + len(loading) for quiet, loading in pairs)

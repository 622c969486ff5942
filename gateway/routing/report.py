"""
What a mirror has found, as people and programs read it: JSON values, made from the states of one process or many.

A shadow differs from its primary when it disagrees more often than the primary does with itself, by more than chance
would explain. What the primary says twice to the same request is the noise floor: a model that draws random numbers, or
threads that add up in another order, disagree with themselves. Replays are few, so there is a third verdict: what was
not seen to be noise, and is not proved to be more, is undecided. Nobody is told of an agreement that was not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any, Literal

import msgspec

from gateway.routing.compare import Comparison
from gateway.routing.shadow import ShadowCounts
from gateway.routing.sketch import Sketch
from gateway.routing.tally import ColumnTally, Tolerance

__all__ = ["MirrorState", "merged", "report", "without_inputs"]

_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_LATENCIES = (0.5, 0.9, 0.99)
_BARS = 40
_FLIPS = 50
_SIGMAS = 4.0
"""How far apart two shares must be to differ: chance does that once in 30,000 looks."""
_DOUBT = 2.0
"""How far apart they may be to agree: chance leaves one look in 40 undecided."""

_WITHHELD = "inputs of rows are shown to callers with the role deploy on the endpoint"

Verdict = Literal["agrees", "undecided", "differs"]


class MirrorState(msgspec.Struct):
    """All that one process knows of the mirror of one endpoint."""

    endpoint: str
    tolerance: Tolerance
    worst_rows: int
    shadows: list[ShadowCounts] = []
    comparisons: list[Comparison] = []
    has_withheld: bool = False
    """Whether there are inputs of rows, kept from whoever asks."""


def merged(states: Sequence[MirrorState]) -> MirrorState:
    """One state of several processes; changes the first. There must be one."""
    whole, *others = states
    for state in others:
        _merge_shadows(whole, state)
        whole.has_withheld |= state.has_withheld
        if state.tolerance != whole.tolerance:
            continue  # a moment ago, or in a moment, it is judged as elsewhere; until then it says something else
        known = {_pair(one): one for one in whole.comparisons}
        for comparison in state.comparisons:
            same = known.get(_pair(comparison))
            if same is None:
                whole.comparisons.append(comparison)
            else:
                same.merge(comparison, whole.worst_rows)
    return whole


def without_inputs(state: MirrorState) -> MirrorState:
    """For who may not see what others have sent. The state itself stays as it is: it may be what is added to."""
    is_kept = any(row.inputs is not None for one in state.comparisons for row in one.worst)
    comparisons = [
        msgspec.structs.replace(one, worst=[msgspec.structs.replace(row, inputs=None) for row in one.worst])
        for one in state.comparisons
    ]
    return msgspec.structs.replace(state, comparisons=comparisons, has_withheld=state.has_withheld or is_kept)


def report(state: MirrorState) -> dict[str, Any]:
    """The JSON of ``GET /endpoints/<endpoint>/comparison``."""
    replays = {(one.primary, one.primary_model): one for one in state.comparisons if one.primary == one.shadow}
    return {
        "endpoint": state.endpoint,
        "tolerance": {"absolute": state.tolerance.absolute, "relative": state.tolerance.relative},
        "inputs_withheld": _WITHHELD if state.has_withheld else "",
        "shadows": [
            {
                "deployment": counts.shadow,
                "percent": counts.percent,
                "mirrored": counts.mirrored,
                "dropped": counts.dropped,
                "failed": counts.failed,
                "comparisons": [
                    _comparison(one, replays.get((one.primary, one.primary_model)))
                    for one in state.comparisons
                    if one.shadow == counts.shadow and one.primary != one.shadow
                ],
            }
            for counts in state.shadows
        ],
        "replays": [_comparison(one, None) for one in replays.values()],
    }


def _pair(one: Comparison) -> tuple[str, str, str, str]:
    """Processes may serve two models under one name for a moment."""
    return one.primary, one.primary_model, one.shadow, one.shadow_model


def _merge_shadows(whole: MirrorState, state: MirrorState) -> None:
    known = {counts.shadow: counts for counts in whole.shadows}
    for counts in state.shadows:
        if counts.shadow in known:
            known[counts.shadow].merge(counts)
        else:
            whole.shadows.append(counts)


def _comparison(one: Comparison, noise: Comparison | None) -> dict[str, Any]:
    verdict = _verdict(one, noise)
    return {
        "primary": one.primary,
        "requests": one.requests,
        "rows": one.rows,
        "agreement": _share(one.agreeing, one.rows),
        "noise_agreement": _share(noise.agreeing, noise.rows) if noise else None,
        "noise_rows": noise.rows if noise else 0,
        "verdict": verdict,
        "differs": verdict == "differs",
        "columns": {
            name: _column(tally, noise.columns.get(name) if noise else None) for name, tally in one.columns.items()
        },
        "unmatched": one.unmatched,
        "errors": {
            "only_primary": one.only_primary_failed,
            "only_shadow": one.only_shadow_failed,
            "both": one.both_failed,
        },
        "timed": one.slower_s.count,
        "latency_ms": {
            "primary": _milliseconds(one.primary_s),
            "shadow": _milliseconds(one.shadow_s),
            "slower": _milliseconds(one.slower_s),
        },
        "worst": [msgspec.to_builtins(row) for row in one.worst],
    }


def _column(tally: ColumnTally, noise: ColumnTally | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "kind": tally.kind,
        "rows": tally.rows,
        "agreement": _share(tally.agreeing, tally.rows),
        "identical": _share(tally.identical, tally.rows),
        "noise_agreement": _share(noise.agreeing, noise.rows) if noise else None,
        "only_primary_missing": tally.only_primary_missing,
        "only_shadow_missing": tally.only_shadow_missing,
    }
    if tally.kind == "number":
        told["difference"] = {
            "mean": tally.sum / tally.numbers if tally.numbers else None,
            "mean_size": tally.sum_size / tally.numbers if tally.numbers else None,
            **_quantiles(tally.difference, _QUANTILES),
            "noise": _quantiles(noise.difference, _QUANTILES) if noise else None,
        }
        told["histogram"] = tally.difference.bars(_BARS)
    else:
        found: list[dict[str, Any]] = [
            {"primary": primary, "shadow": shadow, "rows": times}
            for primary, shadows in tally.flips.items()
            for shadow, times in shadows.items()
        ]
        found.sort(key=lambda flip: flip["rows"], reverse=True)
        told["flips"] = found[:_FLIPS]
        told["more_flips"] = tally.more_flips + sum(flip["rows"] for flip in found[_FLIPS:])
    return told


def _quantiles(sketch: Sketch, wanted: Sequence[float]) -> dict[str, float | None]:
    return {f"p{q * 100:02.0f}": sketch.quantile(q) for q in wanted}


def _milliseconds(sketch: Sketch) -> dict[str, float | None]:
    found = _quantiles(sketch, _LATENCIES)
    return {name: None if value is None else value * 1000 for name, value in found.items()}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _verdict(one: Comparison, noise: Comparison | None) -> Verdict:
    """What the share of rows that disagree says, beside that among the replays."""
    if not one.rows:  # all that was sent to it failed
        return "undecided"
    wrong = one.rows - one.agreeing
    if not wrong:
        return "agrees"
    if not noise or not noise.rows:
        return "differs"
    apart = _apart(wrong, one.rows, noise.rows - noise.agreeing, noise.rows)
    if apart > _SIGMAS:
        return "differs"
    # One replay that disagrees is no proof of noise: so many of them could have told a difference, had there been none.
    are_enough = _apart(wrong, one.rows, 0, noise.rows) > _SIGMAS
    return "agrees" if apart < -_DOUBT or (are_enough and apart <= _DOUBT) else "undecided"


def _apart(wrong: int, rows: int, noise_wrong: int, noise_rows: int) -> float:
    """How many standard deviations the first share is above the second."""
    together = (wrong + noise_wrong) / (rows + noise_rows)
    spread = sqrt(max(together * (1 - together), 1 / (rows + noise_rows)) * (1 / rows + 1 / noise_rows))
    return (wrong / rows - noise_wrong / noise_rows) / spread

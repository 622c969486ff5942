"""
The comparisons of one endpoint: one for each pair of deployments, and never of two models under one name.

A deployment whose model was replaced is another deployment, whatever its name: its comparisons begin anew, and answers
of the old model that are still on their way count nowhere. What was judged with one tolerance cannot be judged again,
because the answers are not kept, and adding both up would say nothing: another tolerance begins all comparisons anew.
Everything else may change and they go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.request import Deployment
from gateway.routing.compare import Comparer, Comparison
from gateway.routing.tally import Tolerance

__all__ = ["Comparisons", "Judging"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """How answers are compared, and what is kept of those that differ."""

    tolerance: Tolerance
    worst_rows: int
    keep_inputs: bool


class Comparisons:
    """``install`` says by what to judge, and which models there are, by the names of their deployments."""

    def __init__(self) -> None:
        self._judging = Judging(tolerance=Tolerance(0.0, 0.0), worst_rows=0, keep_inputs=False)
        self._models: Mapping[str, str] = {}
        self._comparers: dict[tuple[str, str, str, str], Comparer] = {}
        """By name and model of the primary, then of the shadow; a primary beside itself is its replays."""

    @property
    def states(self) -> list[Comparison]:
        """Everything so far."""
        return [comparer.state for comparer in self._comparers.values()]

    @property
    def keep_inputs(self) -> bool:
        """Whether anybody may see the inputs of rows that differ."""
        return self._judging.keep_inputs

    def install(self, judging: Judging, models: Mapping[str, str]) -> None:
        """From now on; drops what belongs to models that are gone."""
        old, self._judging, self._models = self._judging, judging, models
        if judging.tolerance != old.tolerance:
            self._comparers.clear()
        self._comparers = {key: comparer for key, comparer in self._comparers.items() if self._are_there(key)}
        for comparer in self._comparers.values():
            comparer.keep(judging.worst_rows, keep_inputs=judging.keep_inputs)

    def of(self, primary: Deployment, shadow: Deployment) -> Comparer | None:
        """None where one of them was replaced by another model."""
        key = primary.name, primary.model, shadow.name, shadow.model
        known = self._comparers.get(key)
        if known is None and self._are_there(key):
            judging = self._judging
            known = self._comparers[key] = Comparer(
                primary.name, shadow.name, judging.tolerance, judging.worst_rows, (primary.model, shadow.model)
            )
        return known

    def _are_there(self, key: tuple[str, str, str, str]) -> bool:
        primary, primary_model, shadow, shadow_model = key
        models = self._models
        return models.get(primary) == primary_model and models.get(shadow) == shadow_model

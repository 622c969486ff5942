"""What has become of one version, from a look at all processes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gateway.control.progress import Outcome, Progress, Refused, outcome_of


def progress(running: int, gateways: Mapping[str, int | None], refused: int = 0) -> Progress:
    told = Refused(version=refused, reason="no such model") if refused else None
    return Progress(running=running, wanted=max(running, refused), gateways=gateways, refused=told)


@pytest.mark.parametrize(
    ("running", "gateways", "refused", "outcome"),
    [
        (5, {"0": 5, "1": 5}, 0, "running"),
        (5, {}, 0, "running"),
        (5, {"0": 5, "1": 4}, 0, "pending"),
        (5, {"0": 5, "1": None}, 0, "pending"),
        (4, {"0": 4}, 0, "pending"),
        (4, {"0": 4}, 3, "pending"),
        (4, {"0": 4}, 5, "refused"),
        (4, {"0": 4}, 6, "superseded"),
        (6, {"0": 6}, 0, "superseded"),
        (5, {"0": 5}, 6, "running"),
    ],
)
def test_the_outcome_of_version_5(
    running: int, gateways: Mapping[str, int | None], refused: int, outcome: Outcome
) -> None:
    assert outcome_of(progress(running, gateways, refused), 5) == outcome

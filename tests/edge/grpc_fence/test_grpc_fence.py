"""What a caller is told beside its answer: the same on every engine, whichever way it goes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.endpoints import NAME
from gateway.core.payload import Records
from gateway.core.request import Received
from gateway.core.timeline import MARKS as STAGES
from gateway.core.timeline import Timeline
from gateway.edge import grpc_fence
from gateway.edge.grpc_fence import GrpcFence
from gateway.edge.request_id import new_ids
from h2grpc import metadata


class Grpcio:
    """A call of an engine that takes metadata alone."""

    def __init__(self) -> None:
        self.told: Any = None

    def set_trailing_metadata(self, trailing_metadata: Sequence[tuple[str, str]]) -> None:
        self.told = metadata.encode(trailing_metadata)


class H2(Grpcio):
    def set_trailing_headers(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.told = list(headers)


def received(request_id: str, timeline: Timeline) -> Received:
    asked = Received("m", None, None, None, lambda: Records([]), "grpc", "", request_id, timeline=timeline)
    asked.id = new_ids()()
    return asked


def told(call: Any, asked: Received, deployment: str, *, timing: bool) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grpc_fence, "perf_counter_ns", lambda: 90_000_000)
        GrpcFence(new_id=lambda: "", on_done=lambda *_: None, server_timing=timing).answered(call, asked, deployment)
    return call.told


MARKS = st.lists(st.integers(0, 10**8), min_size=8, max_size=8)


@given(st.sampled_from(["", "the-callers-own"]), st.from_regex(NAME, fullmatch=True), st.booleans(), MARKS)
def test_every_engine_tells_the_same(request_id: str, deployment: str, timing: bool, marks: list[int]) -> None:
    timeline = Timeline()
    for name, mark in zip((*STAGES[:-1], "started", "compute"), marks, strict=True):
        setattr(timeline, name, mark)
    asked = received(request_id, timeline)

    assert told(H2(), asked, deployment, timing=timing) == told(Grpcio(), asked, deployment, timing=timing)


def test_an_id_of_the_callers_own_is_told_beside_ours() -> None:
    asked = received("theirs", Timeline())

    assert told(H2(), asked, "blue", timing=False) == [
        (b"x-request-id", asked.id.encode()),
        (b"azureml-model-deployment", b"blue"),
        (b"x-ms-client-request-id", b"theirs"),
    ]

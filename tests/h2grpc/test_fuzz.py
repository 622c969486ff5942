"""The parser and its rules against bytes that nobody meant; ``tests.support.h2grpc_fuzz`` goes on for longer."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.h2grpc_frames import GREETING
from tests.support.h2grpc_fuzz import conversation, run


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_frames_that_are_nearly_right_break_no_rule(seed: int) -> None:
    chance = random.Random(seed)
    run(conversation(chance), chance)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=400), seed=st.integers(0, 2**32))
def test_any_bytes_break_no_rule(data: bytes, seed: int) -> None:
    run(GREETING + data, random.Random(seed))
    run(data, random.Random(seed))

"""Errors of calls."""

from __future__ import annotations

import pickle

from h2grpc import EOF, RpcError, Status


def test_an_error_survives_pickling_with_everything_it_says() -> None:
    error = pickle.loads(pickle.dumps(RpcError(Status.ABORTED, "no", (("a", "b"),), (("c-bin", b"d"),))))  # noqa: S301

    assert (error.code(), error.details()) == (Status.ABORTED, "no")
    assert (error.initial_metadata(), error.trailing_metadata()) == ((("a", "b"),), (("c-bin", b"d"),))


def test_an_error_reads_as_its_status_and_details() -> None:
    assert str(RpcError(Status.NOT_FOUND, "no such model")) == "NOT_FOUND: no such model"


def test_the_end_of_a_stream_is_false_as_in_grpcio() -> None:
    assert not EOF

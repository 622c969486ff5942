"""The floor, really run: what is timed must compute the right thing, and must ask for the key."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import numpy as np
import onnxruntime
import pytest

from gateway.auth.bootstrap import StateFiles, prepare_state
from loadtests.bench.answers import grpc_values
from loadtests.bench.floor import FLOOR_MODEL, Floor
from loadtests.bench.floor_messages import Messages
from loadtests.bench.grpc_call import INFER, call_once
from loadtests.bench.h2load import framed
from loadtests.bench.idle import connected
from loadtests.bench.idle_grpc import GrpcCaller
from loadtests.bench.load import Request
from loadtests.bench.models import FEATURES, write_network
from loadtests.bench.requests import infer_protobuf, mlp_protobuf

SEED = 11


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> StateFiles:
    return prepare_state(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "mlp.onnx"
    write_network(path, seed=SEED)
    return path


@pytest.fixture(scope="module")
def floor(files: StateFiles, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        logs = tmp_path_factory.mktemp("floor")
        yield Floor(stack, files, model, gateway_core=cores[0], worker_core=cores[-1], logs=logs)


@pytest.fixture
def request_of_floor(floor: Floor) -> Request:
    return floor.grpc_infer("grpc", load_core=0).request


@pytest.fixture
def channel(request_of_floor: Request, files: StateFiles) -> Iterator[grpc.Channel]:
    credentials = grpc.ssl_channel_credentials(files.ca.read_bytes())
    target = request_of_floor.url.removeprefix("https://").removesuffix(INFER)
    with grpc.secure_channel(target, credentials) as channel:
        yield channel


@pytest.fixture
def tls(files: StateFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.ca)
    context.set_alpn_protocols(["h2"])
    return context


def test_callers_who_share_batches_each_get_what_onnxruntime_computes_of_their_row(
    channel: grpc.Channel, request_of_floor: Request, model: Path
) -> None:
    rows = np.random.default_rng(SEED).normal(size=(200, FEATURES)).astype("f4")
    infer: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(INFER)
    metadata = tuple(request_of_floor.headers.items())
    messages = [infer_protobuf(FLOOR_MODEL, {"x": row.tolist()}) for row in rows]
    calls = [infer.future(message, timeout=60, metadata=metadata) for message in messages]
    answers = [grpc_values(call.result())["y"] for call in calls]

    (expected,) = onnxruntime.InferenceSession(str(model)).run(None, {"x": rows})

    assert np.asarray(answers) == pytest.approx(expected, rel=1e-5)


def test_a_call_with_another_key_is_not_answered(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        call_once(channel, mlp_protobuf(), timeout=60, metadata={"authorization": "Bearer other"})

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_the_client_of_lone_calls_is_told_the_time_of_compute(request_of_floor: Request, tls: ssl.SSLContext) -> None:
    with connected(request_of_floor.url, tls) as connection:
        caller = GrpcCaller(connection, request_of_floor)
        caller.prepare()
        caller.ask()

    assert caller.compute_ms() > 0.0


def test_the_bench_counts_the_gateway_and_the_worker_apart(floor: Floor) -> None:
    words = {role: Path(f"/proc/{pid}/cmdline").read_text() for role, (pid,) in floor.roles().items()}

    assert [f"floor_{role}" in words[role] for role in ("gateway", "worker")] == [True, True]


@pytest.mark.parametrize("size", range(1, 20))
def test_messages_are_cut_alike_however_they_arrive(size: int) -> None:
    messages, stream = Messages(), framed(b"first") + framed(b"") + framed(b"third")
    found = [message for at in range(0, len(stream), size) for message in messages.cut(stream[at : at + size])]

    assert found == [b"first", b"", b"third"]

"""
Callers who never pause, over REST and gRPC, and judge every answer: right for the deployment that it names, or lost.

They run in threads of their own while a test changes what is served.
"""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

from gateway.wire.v1 import grpc_service_pb2 as wire
from gateway.wire.v1.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from tests.support.https import Https
from tests.support.stack import PATIENCE, Stack
from tests.support.versions import body

__all__ = ["Callers", "calling"]

Adds = Mapping[str, Collection[float]]
"""Deployment → what its models may add to ``x``."""


@dataclass(slots=True)
class Callers:
    """What they saw."""

    adds: Adds
    answers: Counter[str] = field(default_factory=Counter)
    """By deployment."""
    wrong: list[str] = field(default_factory=list)
    """Everything but a right answer."""
    lock: threading.Condition = field(default_factory=threading.Condition)

    def saw(self, deployment: str, x: float, y: float) -> None:
        with self.lock:
            if y - x not in self.adds.get(deployment, ()):
                self.wrong.append(f"{deployment} answered {y} to {x}")
            self.answers[deployment] += 1
            self.lock.notify_all()

    def lost(self, what: str) -> None:
        with self.lock:
            self.wrong.append(what)
            self.lock.notify_all()

    def until(self, enough: Callable[[Counter[str]], bool]) -> None:
        """Wait until they have seen enough, or something wrong."""
        with self.lock:
            assert self.lock.wait_for(lambda: self.wrong or enough(self.answers), PATIENCE), self.answers

    def more(self, number: int = 20) -> None:
        """Wait for so many further answers."""
        with self.lock:
            wanted = self.answers.total() + number
        self.until(lambda answers: answers.total() >= wanted)


@contextmanager
def calling(stack: Stack, endpoint: str, adds: Adds, *, rest: int = 3, rpc: int = 2) -> Iterator[Callers]:
    """So many callers of ``endpoint`` for the length of the block; at its end everything was right."""
    seen, stop = Callers(adds), threading.Event()
    kinds = [_rest] * rest + [_rpc] * rpc
    threads = [
        threading.Thread(target=kind, args=(stack, endpoint, float(x), seen, stop), daemon=True)
        for x, kind in enumerate(kinds)
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert seen.wrong == []
    assert seen.answers


def _rest(stack: Stack, endpoint: str, x: float, seen: Callers, stop: threading.Event) -> None:
    with Https(stack) as https:
        while not stop.is_set():
            try:
                reply = https.post(f"/api/v1/endpoint/{endpoint}/score", body(x))
            except (OSError, http.client.HTTPException) as error:
                seen.lost(f"REST: {error!r}")
                return
            if reply.status == 200:
                seen.saw(reply.headers["azureml-model-deployment"], x, float(reply.json[0]))
            else:
                seen.lost(f"REST: {reply.status} {reply.body!r}")


def _rpc(stack: Stack, endpoint: str, x: float, seen: Callers, stop: threading.Event) -> None:
    request = wire.ModelInferRequest(model_name=endpoint)
    request.inputs.add(name="x", datatype="FP64", shape=[1]).contents.fp64_contents.append(x)
    credentials = grpc.ssl_channel_credentials(stack.ca.read_bytes())
    with grpc.secure_channel(stack.grpc_target, credentials) as channel:
        stub = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        metadata = [("authorization", f"Bearer {stack.key}")]
        while not stop.is_set():
            try:
                answer = stub.ModelInfer(request, metadata=metadata, timeout=PATIENCE)
            except grpc.RpcError as error:
                seen.lost(f"gRPC: {error!r}")
                return
            y = answer.outputs[0].contents.fp64_contents or memoryview(answer.raw_output_contents[0]).cast("d")
            seen.saw(answer.model_version, x, y[0])

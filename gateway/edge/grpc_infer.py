"""
Scoring over gRPC: ModelInfer, and ModelStreamInfer, which is many of it on one stream.

Requests come as ``RequestReader`` read them and answers leave as bytes; see there and in ``ResponseWriter`` for why no
message is made of either. ``scoring_handlers`` says so to whatever engine runs the methods.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any

import grpc

from gateway.core.catalog import Catalog
from gateway.core.deadline import Clock
from gateway.core.errors import GatewayError
from gateway.core.request import Answer, Received
from gateway.core.service import Service, function_of
from gateway.core.timeline import Timeline
from gateway.edge import oip_metadata
from gateway.edge.grpc_call import GrpcCall
from gateway.edge.grpc_fence import MAX_DETAILS, GrpcFence
from gateway.edge.grpc_records import record
from gateway.edge.grpc_request import Inference, RequestReader
from gateway.edge.grpc_response import ResponseWriter
from gateway.edge.http_intake import DEPLOYMENT_HEADER
from gateway.edge.peer_certificate import certificate_in
from gateway.edge.request_id import caller_id
from gateway.edge.status import status_of
from gateway.wire.v1 import grpc_service_pb2 as pb

__all__ = ["GrpcScoring", "scoring_handlers"]

_INFER_RESPONSE = pb.ModelStreamInferResponse.INFER_RESPONSE_FIELD_NUMBER


def _final() -> bytes:
    """
    There is one answer to each request; Triton's clients look here to know that no more will follow. Set after the
    bytes of an answer, it is part of it.
    """
    response = pb.ModelInferResponse()
    response.parameters["triton_final_response"].bool_param = True
    return response.SerializeToString()


_FINAL = _final()


class GrpcScoring:
    """
    Both methods around ``service``.

    ``max_in_flight_per_stream`` bounds the requests of one ModelStreamInfer that are being answered or wait for the
    caller to read; the next is not taken off the wire before one is through.
    """

    def __init__(
        self,
        service: Service[Received, Answer],
        catalog: Catalog,
        fence: GrpcFence,
        *,
        new_id: Callable[[], str],
        clock: Clock,
        asks_for_certificates: bool,
        max_in_flight_per_stream: int,
    ) -> None:
        self._catalog, self._fence = catalog, fence
        self._new_id, self._clock = new_id, clock
        self._asks_for_certificates = asks_for_certificates
        self._max_in_flight_per_stream = max_in_flight_per_stream
        self.reader = RequestReader()
        """Makes requests out of bytes, for the engine."""
        # A method is called in half the time of an object that can be called.
        self._write, self._serve = ResponseWriter().__call__, function_of(service)

    async def infer(self, request: Inference, context: GrpcCall) -> bytes:
        received: Received | None = None
        failure: GatewayError
        try:
            received = self._receive(request, context)
            answer = await self._serve(received)
            response = self._write(request, answer)
            if request.fresh is not None:
                self.reader.learn(request)
        except asyncio.CancelledError:
            self._fence.gone(received)
            raise
        except GatewayError as error:
            # Without its traceback, which holds this frame: see HttpExchange.
            failure, request_id = error.with_traceback(None), self._fence.id_of(received)
        except Exception as crash:  # noqa: BLE001  # the fence
            request_id = self._fence.id_of(received)
            failure = self._fence.crashed("ModelInfer", crash, request_id)
        else:
            self._fence.answered(context, received, answer.deployment.name)
            return response
        return await self._fence.refuse(context, received, failure, request_id)

    async def stream(self, requests: AsyncIterator[Inference], context: GrpcCall) -> AsyncIterator[bytes]:
        """Many requests at once on one stream; each is answered when it is finished, under its own id."""
        replies: asyncio.Queue[bytes | None] = asyncio.Queue()
        places = asyncio.Semaphore(self._max_in_flight_per_stream)

        async def answer(request: Inference) -> None:
            replies.put_nowait(await self._stream_answer(request, context))

        async def read() -> None:
            try:
                async with asyncio.TaskGroup() as answers:
                    async for request in requests:
                        await places.acquire()
                        answers.create_task(answer(request))
            finally:
                replies.put_nowait(None)

        reader = asyncio.create_task(read())
        try:
            while (reply := await replies.get()) is not None:
                yield reply
                places.release()
            await reader
        finally:
            reader.cancel()
            await asyncio.wait([reader])

    async def _stream_answer(self, request: Inference, context: GrpcCall) -> bytes:
        received: Received | None = None
        failure: GatewayError
        try:
            received = self._receive(request, context)
            response = self._write(request, await self._serve(received))
            if request.fresh is not None:
                self.reader.learn(request)
        except asyncio.CancelledError:
            self._fence.gone(received)
            raise
        except GatewayError as error:
            failure = error.with_traceback(None)
        except Exception as crash:  # noqa: BLE001  # the fence
            failure = self._fence.crashed("ModelStreamInfer", crash, request.id)
        else:
            self._fence.done(received, None)
            return record(_INFER_RESPONSE, response + _FINAL)
        self._fence.done(received, failure)
        about = pb.ModelInferResponse(model_name=request.kind.model or "", id=request.id)
        about.parameters["status"].string_param = status_of(failure).grpc.name
        message = str(failure)[:MAX_DETAILS] or "failed"
        return pb.ModelStreamInferResponse(error_message=message, infer_response=about).SerializeToString()

    def _receive(self, request: Inference, context: GrpcCall) -> Received:
        started = perf_counter_ns()
        kind = request.kind
        if hasattr(context, "remembered"):
            metadata, credential, deployment, request_id, traceparent = context.remembered(_said)
        else:
            metadata, credential, deployment, request_id, traceparent = _said(context.invocation_metadata() or ())
        left = context.time_remaining()
        if kind.version:
            deployment = oip_metadata.pinned(self._catalog, kind.model, kind.version, deployment or "")
        if kind.timeout is not None:
            left = _earlier(left, kind.timeout)
        return Received(
            kind.model,
            deployment,
            credential,
            None if left is None else self._clock() + left,
            request.tensors,
            "grpc",
            context.peer(),
            request_id,
            traceparent,
            kind.size,
            certificate_in(context.auth_context()) if self._asks_for_certificates else None,
            Timeline(started, perf_counter_ns()),
            metadata,
            self._new_id(),
        )


def _said(pairs: Sequence[tuple[str, Any]]) -> tuple[Mapping[str, Any], str | None, str | None, str, str]:
    """The metadata by name; and of it the credential, the deployment, the caller's own id and the trace."""
    metadata = dict(pairs)
    return (
        metadata,
        metadata.get("authorization"),
        metadata.get(DEPLOYMENT_HEADER) or None,
        caller_id(metadata, "managed"),
        metadata.get("traceparent", ""),
    )


def scoring_handlers(scoring: GrpcScoring) -> Mapping[str, grpc.RpcMethodHandler[Any, Any]]:
    """By the method's name. Answers are bytes already, so there is nothing to serialize."""
    read = scoring.reader.__call__
    return {
        "ModelInfer": grpc.unary_unary_rpc_method_handler(scoring.infer, request_deserializer=read),
        "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(scoring.stream, request_deserializer=read),
    }


def _earlier(left: float | None, timeout: object) -> float | None:
    """Seconds that are left of a call whose request has a ``timeout``, in microseconds; 0 means none."""
    timeout_s = oip_metadata.timeout_us(timeout) / 1e6
    return timeout_s if timeout_s and (left is None or timeout_s < left) else left

"""
The Open Inference Protocol's gRPC service, as an ordinary async servicer.

It decodes, asks the rest of the gateway, and encodes; what it may touch of a call is ``GrpcCall``, so that any engine
with those five methods can run it. Metadata documents come from ``oip_metadata``, which the HTTP wire shares.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from gateway.core.access import Caller, ClientCertificate, Presented
from gateway.core.catalog import Catalog, StatsSource
from gateway.core.deadline import Clock, Deadline
from gateway.core.errors import GatewayError, InvalidInput, NotSupported
from gateway.core.repository import Repository
from gateway.core.request import Answer, Received
from gateway.core.service import Service
from gateway.core.timeline import Timeline
from gateway.edge import oip_metadata
from gateway.edge.grpc_call import GrpcCall
from gateway.edge.grpc_fence import MAX_DETAILS, GrpcFence
from gateway.edge.grpc_repository import kserve_done, model_of
from gateway.edge.grpc_tensors import InputReader, ResponseWriter, request_size
from gateway.edge.http_intake import DEPLOYMENT_HEADER
from gateway.edge.http_route import OnDone
from gateway.edge.oip_repository import refuse_load_parameters
from gateway.edge.oip_view import OipView
from gateway.edge.peer_certificate import certificate_in
from gateway.edge.request_id import caller_id
from gateway.edge.status import status_of
from gateway.wire.v1 import grpc_service_pb2 as pb
from gateway.wire.v1.grpc_service_pb2_grpc import GRPCInferenceServiceServicer

__all__ = ["OipServicer"]

M = TypeVar("M", bound=Message)

_SHARED_MEMORY = "shared memory is not offered: send tensors in the request"
_NO_REPOSITORY = "loading and unloading is not offered by a gateway that runs alone"


def _refusing(method: str, reason: str) -> Callable[[OipServicer, Message, GrpcCall], Awaitable[Any]]:
    async def refuse(self: OipServicer, request: Message, context: GrpcCall) -> Any:  # noqa: ARG001
        async def work() -> Any:
            raise NotSupported(f"{method}: {reason}")

        return await self._fence.control(context, method, work)

    return refuse


class OipServicer(GRPCInferenceServiceServicer):
    """
    Scores through ``service`` and shows what ``catalog`` and ``stats`` know.

    ``is_ready`` is what ServerReady answers; ``max_in_flight_per_stream`` bounds the requests of one ModelStreamInfer
    that are being answered or wait for the caller to read; the next is not taken off the wire before one is through.
    ``asks_for_certificates`` says whether the listener does. Without a ``repository`` none is
    loaded or unloaded.
    """

    def __init__(
        self,
        service: Service[Received, Answer],
        catalog: Catalog,
        view: OipView,
        stats: StatsSource,
        *,
        is_ready: Callable[[], bool],
        on_done: OnDone,
        new_id: Callable[[], str],
        clock: Clock,
        server_timing: bool = True,
        asks_for_certificates: bool = False,
        repository: Repository | None = None,
        max_in_flight_per_stream: int = 256,
    ) -> None:
        self._service, self._catalog, self._view, self._stats = service, catalog, view, stats
        self._is_ready, self._clock = is_ready, clock
        self._read, self._write = InputReader(), ResponseWriter()
        self._asks_for_certificates, self._repository = asks_for_certificates, repository
        self._max_in_flight_per_stream = max_in_flight_per_stream
        self._fence = GrpcFence(new_id=new_id, on_done=on_done, server_timing=server_timing)

    async def ModelInfer(self, request: pb.ModelInferRequest, context: GrpcCall) -> pb.ModelInferResponse:
        received: Received | None = None
        failure: GatewayError
        try:
            metadata: Mapping[str, Any] = dict(context.invocation_metadata() or ())
            received = self._receive(
                request, metadata, context.time_remaining(), context.peer(), self._certificate(context)
            )
            answer = await self._service(received)
            response = self._write(request, answer)
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

    async def ModelStreamInfer(
        self, request_iterator: AsyncIterator[pb.ModelInferRequest], context: GrpcCall
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        """Many requests at once on one stream; each is answered when it is finished, under its own id."""
        metadata: Mapping[str, Any] = dict(context.invocation_metadata() or ())
        peer, certificate = context.peer(), self._certificate(context)
        replies: asyncio.Queue[pb.ModelStreamInferResponse | None] = asyncio.Queue()
        places = asyncio.Semaphore(self._max_in_flight_per_stream)

        async def answer(request: pb.ModelInferRequest) -> None:
            replies.put_nowait(
                await self._stream_answer(request, metadata, context.time_remaining(), peer, certificate)
            )

        async def read() -> None:
            try:
                async with asyncio.TaskGroup() as answers:
                    async for request in request_iterator:
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

    async def ServerLive(self, request: pb.ServerLiveRequest, context: GrpcCall) -> pb.ServerLiveResponse:  # noqa: ARG002
        async def work() -> pb.ServerLiveResponse:
            return pb.ServerLiveResponse(live=True)

        return await self._fence.control(context, "ServerLive", work)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: GrpcCall) -> pb.ServerReadyResponse:  # noqa: ARG002
        async def work() -> pb.ServerReadyResponse:
            return pb.ServerReadyResponse(ready=self._is_ready())

        return await self._fence.control(context, "ServerReady", work)

    async def ServerMetadata(
        self,
        request: pb.ServerMetadataRequest,  # noqa: ARG002
        context: GrpcCall,
    ) -> pb.ServerMetadataResponse:
        async def work() -> pb.ServerMetadataResponse:
            return _message(self._server_metadata(), pb.ServerMetadataResponse())

        return await self._fence.control(context, "ServerMetadata", work)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: GrpcCall) -> pb.ModelReadyResponse:
        async def work() -> pb.ModelReadyResponse:
            endpoint = await self._view.endpoint(_named(request.name), self._caller(context))
            return pb.ModelReadyResponse(ready=oip_metadata.find_version(endpoint, request.version).is_ready)

        return await self._fence.control(context, "ModelReady", work)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: GrpcCall) -> pb.ModelMetadataResponse:
        async def work() -> pb.ModelMetadataResponse:
            endpoint = await self._view.endpoint(_named(request.name), self._caller(context))
            return _message(oip_metadata.model_metadata(endpoint, request.version), pb.ModelMetadataResponse())

        return await self._fence.control(context, "ModelMetadata", work)

    async def ModelConfig(self, request: pb.ModelConfigRequest, context: GrpcCall) -> pb.ModelConfigResponse:
        async def work() -> pb.ModelConfigResponse:
            endpoint = await self._view.endpoint(_named(request.name), self._caller(context))
            config = oip_metadata.model_config(endpoint, request.version)
            return _message({"config": config}, pb.ModelConfigResponse())

        return await self._fence.control(context, "ModelConfig", work)

    async def ModelStatistics(
        self, request: pb.ModelStatisticsRequest, context: GrpcCall
    ) -> pb.ModelStatisticsResponse:
        async def work() -> pb.ModelStatisticsResponse:
            caller = self._caller(context)
            if request.name:
                endpoints = [await self._view.endpoint(request.name, caller)]
            else:
                endpoints = list(await self._view.endpoints(caller))
            document = oip_metadata.statistics(endpoints, request.version, self._stats)
            return _message(document, pb.ModelStatisticsResponse())

        return await self._fence.control(context, "ModelStatistics", work)

    async def RepositoryIndex(
        self, request: pb.RepositoryIndexRequest, context: GrpcCall
    ) -> pb.RepositoryIndexResponse:
        async def work() -> pb.RepositoryIndexResponse:
            endpoints = await self._view.endpoints(self._caller(context))
            models = oip_metadata.repository_index(endpoints, only_ready=request.ready)
            return _message({"models": models}, pb.RepositoryIndexResponse())

        return await self._fence.control(context, "RepositoryIndex", work)

    async def RepositoryModelLoad(
        self, request: pb.RepositoryModelLoadRequest, context: GrpcCall
    ) -> pb.RepositoryModelLoadResponse:
        async def work() -> pb.RepositoryModelLoadResponse:
            model, caller, repository = model_of(request), self._caller(context), self._offered("RepositoryModelLoad")
            await repository.check(model, caller)
            refuse_load_parameters(request.parameters)
            await repository.load(model, caller)
            return pb.RepositoryModelLoadResponse.FromString(kserve_done(model))

        return await self._fence.control(context, "RepositoryModelLoad", work)

    async def RepositoryModelUnload(
        self, request: pb.RepositoryModelUnloadRequest, context: GrpcCall
    ) -> pb.RepositoryModelUnloadResponse:
        async def work() -> pb.RepositoryModelUnloadResponse:
            model, caller, repository = model_of(request), self._caller(context), self._offered("RepositoryModelUnload")
            await repository.check(model, caller)
            await repository.unload(model, caller)
            return pb.RepositoryModelUnloadResponse.FromString(kserve_done(model))

        return await self._fence.control(context, "RepositoryModelUnload", work)

    SystemSharedMemoryStatus = _refusing("SystemSharedMemoryStatus", _SHARED_MEMORY)
    SystemSharedMemoryRegister = _refusing("SystemSharedMemoryRegister", _SHARED_MEMORY)
    SystemSharedMemoryUnregister = _refusing("SystemSharedMemoryUnregister", _SHARED_MEMORY)
    CudaSharedMemoryStatus = _refusing("CudaSharedMemoryStatus", _SHARED_MEMORY)
    CudaSharedMemoryRegister = _refusing("CudaSharedMemoryRegister", _SHARED_MEMORY)
    CudaSharedMemoryUnregister = _refusing("CudaSharedMemoryUnregister", _SHARED_MEMORY)
    TraceSetting = _refusing("TraceSetting", "trace settings are not offered: send a traceparent")
    LogSettings = _refusing("LogSettings", "log settings are not offered over this protocol")

    def _server_metadata(self) -> oip_metadata.Document:
        return oip_metadata.server_metadata(has_repository=self._repository is not None)

    def _offered(self, method: str) -> Repository:
        if self._repository is None:
            raise NotSupported(f"{method}: {_NO_REPOSITORY}")
        return self._repository

    def _receive(
        self,
        request: pb.ModelInferRequest,
        metadata: Mapping[str, Any],
        left: float | None,
        peer: str,
        certificate: ClientCertificate | None,
    ) -> Received:
        timeline = Timeline()
        model = request.model_name or None
        deployment: str | None = metadata.get(DEPLOYMENT_HEADER) or None
        if request.model_version:
            deployment = oip_metadata.pinned(self._catalog, model, request.model_version, deployment or "")
        received = Received(
            model,
            deployment,
            metadata.get("authorization"),
            self._deadline(request, left),
            partial(self._read, request),
            "grpc",
            peer,
            caller_id(metadata, "managed"),
            metadata.get("traceparent", ""),
            request_size(request),
            certificate,
            timeline,
            metadata,
        )
        received.id = self._fence.new_id()
        timeline.mark("receive")
        return received

    def _certificate(self, call: GrpcCall) -> ClientCertificate | None:
        return certificate_in(call.auth_context()) if self._asks_for_certificates else None

    def _caller(self, call: GrpcCall) -> Caller:
        credential = dict(call.invocation_metadata() or ()).get("authorization")
        return Presented(credential if isinstance(credential, str) else None, self._certificate(call), call.peer())

    def _deadline(self, request: pb.ModelInferRequest, left: float | None) -> Deadline | None:
        """The earlier of the call's own deadline and the request's ``timeout``, in microseconds; 0 means none."""
        if request.parameters and "timeout" in request.parameters:
            timeout_us = oip_metadata.timeout_us(_value(request.parameters["timeout"]))
            if timeout_us and (left is None or timeout_us / 1e6 < left):
                left = timeout_us / 1e6
        return None if left is None else self._clock() + left

    async def _stream_answer(
        self,
        request: pb.ModelInferRequest,
        metadata: Mapping[str, Any],
        left: float | None,
        peer: str,
        certificate: ClientCertificate | None,
    ) -> pb.ModelStreamInferResponse:
        received: Received | None = None
        failure: GatewayError
        try:
            received = self._receive(request, metadata, left, peer, certificate)
            response = self._write(request, await self._service(received))
        except asyncio.CancelledError:
            self._fence.gone(received)
            raise
        except GatewayError as error:
            failure = error.with_traceback(None)
        except Exception as crash:  # noqa: BLE001  # the fence
            failure = self._fence.crashed("ModelStreamInfer", crash, request.id)
        else:
            # There is one answer to each request; Triton's clients look here to know that no more will follow.
            response.parameters["triton_final_response"].bool_param = True
            self._fence.done(received, None)
            return pb.ModelStreamInferResponse(infer_response=response)
        self._fence.done(received, failure)
        about = pb.ModelInferResponse(model_name=request.model_name, id=request.id)
        about.parameters["status"].string_param = status_of(failure).grpc.name
        return pb.ModelStreamInferResponse(error_message=str(failure)[:MAX_DETAILS] or "failed", infer_response=about)


def _message(document: dict[str, Any], message: M) -> M:
    return ParseDict(document, message)


def _named(model: str) -> str:
    if not model:
        raise InvalidInput("expected the name of a model")
    return model


def _value(parameter: pb.InferParameter) -> Any:
    choice = parameter.WhichOneof("parameter_choice")
    return None if choice is None else getattr(parameter, choice)

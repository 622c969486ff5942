"""
The Open Inference Protocol's gRPC service, as an ordinary async servicer.

It decodes, asks the rest of the gateway, and encodes; what it may touch of a call is ``GrpcCall``, so that any engine
with those five methods can run it. Metadata documents come from ``oip_metadata``, which the HTTP wire shares.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from gateway.core.access import Caller, Presented
from gateway.core.catalog import Catalog, StatsSource
from gateway.core.deadline import Clock
from gateway.core.errors import InvalidInput, NotSupported
from gateway.core.repository import Repository
from gateway.core.request import Answer, Received
from gateway.core.service import Service
from gateway.edge import oip_metadata
from gateway.edge.grpc_call import GrpcCall
from gateway.edge.grpc_fence import GrpcFence
from gateway.edge.grpc_infer import GrpcScoring, scoring_handlers
from gateway.edge.grpc_repository import kserve_done, model_of
from gateway.edge.http_route import OnDone
from gateway.edge.oip_repository import refuse_load_parameters
from gateway.edge.oip_view import OipView
from gateway.edge.peer_certificate import certificate_in
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

    ModelInfer and ModelStreamInfer are not among its methods: ``handlers`` has them.
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
        self._view, self._stats, self._is_ready = view, stats, is_ready
        self._asks_for_certificates, self._repository = asks_for_certificates, repository
        self._fence = GrpcFence(new_id=new_id, on_done=on_done, server_timing=server_timing)
        scoring = GrpcScoring(
            service,
            catalog,
            self._fence,
            new_id=new_id,
            clock=clock,
            asks_for_certificates=asks_for_certificates,
            max_in_flight_per_stream=max_in_flight_per_stream,
        )
        self.handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]] = scoring_handlers(scoring)
        """Of methods with a codec of our own, to be registered instead of the generated ones."""

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

    def _caller(self, call: GrpcCall) -> Caller:
        credential = dict(call.invocation_metadata() or ()).get("authorization")
        certificate = certificate_in(call.auth_context()) if self._asks_for_certificates else None
        return Presented(credential if isinstance(credential, str) else None, certificate, call.peer())


def _message(document: dict[str, Any], message: M) -> M:
    return ParseDict(document, message)


def _named(model: str) -> str:
    if not model:
        raise InvalidInput("expected the name of a model")
    return model

"""
The floor for gRPC: a grpc.aio server on uvloop that parses a ``ModelInferRequest`` and builds a constant answer.

Plaintext and no key, as with the bare HTTP server. Run as ``python -m loadtests.bench.bare_grpc PORT``.
"""

from __future__ import annotations

import struct
import sys
from typing import Any

import grpc
import uvloop

from gateway.wire.v1 import grpc_service_pb2 as wire
from gateway.wire.v1 import grpc_service_pb2_grpc as services

__all__: list[str] = []

ANSWER = struct.pack("<f", 0.5)


class Echo(services.GRPCInferenceServiceServicer):
    async def ModelInfer(  # noqa: N802  # gRPC's method name
        self,
        request: wire.ModelInferRequest,
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> wire.ModelInferResponse:
        return wire.ModelInferResponse(
            model_name=request.model_name,
            model_version="blue",
            id=request.id,
            outputs=[wire.ModelInferResponse.InferOutputTensor(name="y", datatype="FP32", shape=[1, 1])],
            raw_output_contents=[ANSWER],
        )


async def serve(port: int) -> None:
    server = grpc.aio.server()
    services.add_GRPCInferenceServiceServicer_to_server(Echo(), server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))

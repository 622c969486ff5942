"""
Runs tritonclient against a server: a script as JSON on standard input, what came back as JSON on standard output.

A program of its own, because tritonclient and this project register the same protobuf names.
"""

from __future__ import annotations

import json
import queue
import ssl
import sys
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype


class Driver:
    def __init__(self, script: dict[str, Any]) -> None:
        self._headers = {"authorization": script["key"]}
        self._modules = {"http": tritonclient.http, "grpc": tritonclient.grpc}
        self._clients = {
            "http": tritonclient.http.InferenceServerClient(
                script["http"],
                ssl=True,
                # It is handed certifi's authorities, which do not know ours.
                ssl_context_factory=lambda **_: ssl.create_default_context(cafile=script["ca"]),
                concurrency=4,
            ),
            "grpc": tritonclient.grpc.InferenceServerClient(script["grpc"], ssl=True, root_certificates=script["ca"]),
        }

    def run(self, call: dict[str, Any]) -> Any:
        try:
            return getattr(self, call["do"])(call)
        except InferenceServerException as error:
            return {"error": error.message(), "status": error.status()}

    def control(self, call: dict[str, Any]) -> Any:
        """Any method of the client by name; gRPC answers as JSON, too."""
        wire = call["wire"]
        extra = {"as_json": True} if wire == "grpc" and call["method"].startswith("get_") else {}
        if "config" in call:
            extra["config"] = call["config"]
        method = getattr(self._clients[wire], call["method"])
        return method(*call.get("args", []), headers=dict(self._headers), **extra)

    def infer(self, call: dict[str, Any]) -> Any:
        wire = call["wire"]
        settings: dict[str, Any] = {key: call[key] for key in ("model_version", "request_id", "timeout") if key in call}
        if "compress" in call:
            name = "request_compression_algorithm" if wire == "http" else "compression_algorithm"
            settings[name] = call["compress"]
        if "decompress" in call:
            settings["response_compression_algorithm"] = call["decompress"]
        result = self._clients[wire].infer(
            call["model"],
            self._inputs(call),
            outputs=self._outputs(call),
            # A copy: the HTTP client adds to what it is given.
            headers=dict(self._headers) if call.get("key", True) else {},
            **settings,
        )
        return self._plain(result, wire)

    def stream(self, call: dict[str, Any]) -> Any:
        """Sends all requests at once; the answers in the order in which they came."""
        came: queue.Queue[Any] = queue.Queue()
        client = self._clients["grpc"]
        client.start_stream(lambda result, error: came.put((result, error)), headers=self._headers)
        for request in call["requests"]:
            client.async_stream_infer(request["model"], self._inputs(request), request_id=request["request_id"])
        answers = [came.get(timeout=30) for _ in call["requests"]]
        client.stop_stream()
        return [
            {"error": error.message()} if error is not None else self._plain(result, "grpc")
            for result, error in answers
        ]

    def _inputs(self, call: dict[str, Any]) -> list[Any]:
        module = self._modules[call.get("wire", "grpc")]
        inputs = []
        for given in call["inputs"]:
            tensor = module.InferInput(given["name"], given["shape"], given["datatype"])
            dtype = object if given["datatype"] == "BYTES" else triton_to_np_dtype(given["datatype"])
            array = np.array(given["data"], dtype=dtype).reshape(given["shape"])
            assert np_to_triton_dtype(array.dtype) == given["datatype"]
            extra = {"binary_data": given["binary"]} if "binary" in given else {}
            tensor.set_data_from_numpy(array, **extra)
            inputs.append(tensor)
        return inputs

    def _outputs(self, call: dict[str, Any]) -> list[Any] | None:
        if "outputs" not in call:
            return None
        module = self._modules[call["wire"]]
        return [module.InferRequestedOutput(**output) for output in call["outputs"]]

    def _plain(self, result: Any, wire: str) -> Any:
        document = result.get_response(**({"as_json": True} if wire == "grpc" else {}))
        values = {}
        for output in document["outputs"]:
            array = result.as_numpy(output["name"])
            flat = [v.decode() if isinstance(v, bytes) else v for v in array.reshape(-1).tolist()]
            values[output["name"]] = {"shape": list(array.shape), "datatype": output["datatype"], "data": flat}
        return {
            "model": document["model_name"],
            "version": document["model_version"],
            "id": document.get("id", ""),
            "outputs": values,
        }


def main() -> None:
    script = json.load(sys.stdin)
    driver = Driver(script)
    json.dump([driver.run(call) for call in script["calls"]], sys.stdout)


if __name__ == "__main__":
    main()

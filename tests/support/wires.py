"""
Every form in which rows can be asked for, as one function each from rows to outcome.

They build requests as clients in the field do and share no code with the gateway's codecs, so that a mistake there is
not repeated here.
"""

from __future__ import annotations

import csv
import io
import json
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal

import grpc

from gateway.wire.v1 import grpc_service_pb2 as wire
from gateway.wire.v1.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from tests.support.https import Https, Reply
from tests.support.samples import Frame, signature
from tests.support.stack import PATIENCE, Stack

__all__ = ["WIRES", "Client", "Outcome", "Target", "Wire"]

_FORMATS = {"FP64": "d", "FP32": "f", "INT64": "q", "INT32": "i"}
_CONTENTS = {"FP64": "fp64_contents", "FP32": "fp32_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"}


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask, and as whom; a key of None sends none."""

    endpoint: str
    deployment: str
    key: str | None = "ours"
    types: dict[str, str] | None = None
    """Datatypes of the tensors, where they are not the model's."""

    def datatypes(self) -> dict[str, str]:
        return self.types or signature(self.endpoint, self.deployment)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Columns of values, or a status and a message."""

    status: int | str
    values: dict[str, list[Any]] | None = None
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict, compare=False)


class Client:
    """Connections to one stack: HTTPS and gRPC. Use it as a context."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.https = Https(stack)
        self._channel = grpc.secure_channel(stack.grpc_target, grpc.ssl_channel_credentials(stack.ca.read_bytes()))
        self.stub = GRPCInferenceServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.https.__exit__(kind, error, trace)
        self._channel.close()

    def credential(self, target: Target) -> str | None:
        if target.key is None:
            return None
        return f"Bearer {self.stack.key if target.key == 'ours' else target.key}"

    def post(self, target: Target, path: str, body: object, **headers: str) -> Reply:
        """With the pin as Azure ML spells it."""
        sent: dict[str, str | None] = {
            "Authorization": self.credential(target),
            "azureml-model-deployment": target.deployment,
            "lockgate-endpoint": target.endpoint,
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return self.https.post(path, body, sent)

    def metadata(self, target: Target) -> list[tuple[str, str]]:
        credential = self.credential(target)
        return [] if credential is None else [("authorization", credential)]


Ask = Callable[[Client, Target, Frame], Outcome]


@dataclass(frozen=True, slots=True)
class Wire:
    """One form. ``family`` says whose error bodies and statuses it speaks."""

    name: str
    family: Literal["score", "mlflow", "vetiver", "oip", "grpc"]
    ask: Ask
    is_typed: bool = False
    """Tensors, one per column: what has no type or no rectangle cannot be sent."""
    is_positional: bool = False
    """Columns go by position."""
    is_text: bool = False
    """Cells have no type."""


# --- Azure ML, MLflow, vetiver -----------------------------------------------------------------------------------


def _split(frame: Frame) -> dict[str, Any]:
    return {"columns": frame.columns, "index": list(range(len(frame.rows))), "data": frame.rows}


_FORMS: dict[str, tuple[Callable[[Frame], Any], bool]] = {
    "input_data split": (lambda frame: {"input_data": _split(frame)}, False),
    "input_data rows": (lambda frame: {"input_data": frame.rows}, True),
    "input_data records": (lambda frame: {"input_data": frame.records()}, False),
    "input_data columns": (lambda frame: {"input_data": frame.by_name()}, False),
    "data split": (lambda frame: {"data": _split(frame)}, False),
    "data rows": (lambda frame: {"data": frame.rows}, True),
    "data records": (lambda frame: {"data": frame.records()}, False),
    "data columns": (lambda frame: {"data": frame.by_name()}, False),
    "records": (lambda frame: frame.records(), False),
    "rows": (lambda frame: frame.rows, True),
    "columns": (lambda frame: frame.by_name(), False),
}


def _score(form: str, path: str = "/score") -> Ask:
    build, _ = _FORMS[form]

    def ask(client: Client, target: Target, frame: Frame) -> Outcome:
        reply = client.post(target, path.format(target.endpoint), build(frame))
        return _listed(reply, reply.json, lambda error: error["error"]["message"])

    return ask


def _invocations(build: Callable[[Frame], Any]) -> Ask:
    def ask(client: Client, target: Target, frame: Frame) -> Outcome:
        reply = client.post(target, "/invocations", build(frame))
        return _listed(reply, reply.json.get("predictions"), lambda error: error["message"])

    return ask


def _csv(client: Client, target: Target, frame: Frame) -> Outcome:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(frame.columns)
    writer.writerows(frame.rows)
    reply = client.post(target, "/invocations", text.getvalue().encode(), Content_Type="text/csv")
    return _listed(reply, reply.json.get("predictions"), lambda error: error["message"])


def _predict(build: Callable[[Frame], Any]) -> Ask:
    names = {".pred": "price", ".pred_probability": "probability", ".pred_class": "label"}

    def ask(client: Client, target: Target, frame: Frame) -> Outcome:
        reply = client.post(target, "/predict", build(frame))
        if reply.status != 200:
            return Outcome(reply.status, message=reply.json["message"], headers=dict(reply.headers))
        records = reply.json
        return Outcome(200, {names[name]: [record[name] for record in records] for name in records[0]})

    return ask


def _listed(reply: Reply, predictions: Any, message: Callable[[Any], str]) -> Outcome:
    if reply.status != 200:
        return Outcome(reply.status, message=message(reply.json), headers=dict(reply.headers))
    if isinstance(predictions[0], dict):
        return Outcome(200, {name: [record[name] for record in predictions] for name in predictions[0]})
    return Outcome(200, {"price": predictions})


# --- Open Inference Protocol -------------------------------------------------------------------------------------


def _encoded(datatype: str, values: list[Any]) -> bytes:
    if datatype == "BYTES":
        texts = [str(value).encode() for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    numbers = [math.nan if value is None else value for value in values]
    return struct.pack(f"<{len(numbers)}{_FORMATS[datatype]}", *numbers)


def _decoded(datatype: str, raw: bytes) -> list[Any]:
    if datatype != "BYTES":
        return [value for (value,) in struct.iter_unpack(f"<{_FORMATS[datatype]}", raw)]
    values, at = [], 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        values.append(raw[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return values


def _columns(target: Target, frame: Frame) -> Iterator[tuple[str, str, list[Any]]]:
    types = target.datatypes()
    for name, values in frame.by_name().items():
        yield name, types.get(name, "FP64"), values


def _infer_path(target: Target) -> str:
    return f"/v2/models/{target.endpoint}/versions/{target.deployment}/infer"


def _oip_json(client: Client, target: Target, frame: Frame) -> Outcome:
    inputs = [
        {"name": name, "datatype": kind, "shape": [len(values)], "data": values}
        for name, kind, values in _columns(target, frame)
    ]
    reply = client.https.post(_infer_path(target), {"inputs": inputs}, {"Authorization": client.credential(target)})
    if reply.status != 200:
        return Outcome(reply.status, message=reply.json["error"], headers=dict(reply.headers))
    return Outcome(200, {output["name"]: output["data"] for output in reply.json["outputs"]})


def _oip_binary(client: Client, target: Target, frame: Frame) -> Outcome:
    inputs, tail = [], b""
    for name, kind, values in _columns(target, frame):
        raw = _encoded(kind, values)
        parameters = {"binary_data_size": len(raw)}
        inputs.append({"name": name, "datatype": kind, "shape": [len(values)], "parameters": parameters})
        tail += raw
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    headers = {
        "Authorization": client.credential(target),
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
    }
    reply = client.https.post(_infer_path(target), head + tail, headers)
    if reply.status != 200:
        return Outcome(reply.status, message=reply.json["error"], headers=dict(reply.headers))
    length = int(reply.headers["Inference-Header-Content-Length"])
    found, at = {}, length
    for output in json.loads(reply.body[:length])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        found[output["name"]] = _decoded(output["datatype"], reply.body[at : at + size])
        at += size
    return Outcome(200, found)


def _grpc_request(target: Target, frame: Frame, *, is_raw: bool) -> wire.ModelInferRequest:
    request = wire.ModelInferRequest(model_name=target.endpoint, model_version=target.deployment, id="7")
    for name, kind, values in _columns(target, frame):
        tensor = request.inputs.add(name=name, datatype=kind, shape=[len(values)])
        if is_raw:
            request.raw_input_contents.append(_encoded(kind, values))
        else:
            typed = [str(v).encode() if kind == "BYTES" else math.nan if v is None else v for v in values]
            getattr(tensor.contents, _CONTENTS[kind]).extend(typed)
    return request


def _grpc_values(response: wire.ModelInferResponse, *, is_raw: bool) -> dict[str, list[Any]]:
    """Who sends typed contents gets typed contents."""
    if is_raw:
        return {
            output.name: _decoded(output.datatype, raw)
            for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
        }
    found = {}
    for output in response.outputs:
        values = list(getattr(output.contents, _CONTENTS[output.datatype]))
        found[output.name] = [value.decode() if isinstance(value, bytes) else value for value in values]
    return found


def _grpc(*, is_raw: bool) -> Ask:
    def ask(client: Client, target: Target, frame: Frame) -> Outcome:
        request = _grpc_request(target, frame, is_raw=is_raw)
        try:
            response = client.stub.ModelInfer(request, metadata=client.metadata(target), timeout=PATIENCE)
        except grpc.RpcError as error:
            trailers = {item.key: str(item.value) for item in error.trailing_metadata() or ()}
            return Outcome(error.code().name, message=error.details() or "", headers=trailers)
        return Outcome("OK", _grpc_values(response, is_raw=is_raw))

    return ask


def _stream(client: Client, target: Target, frame: Frame) -> Outcome:
    request = _grpc_request(target, frame, is_raw=True)
    call = client.stub.ModelStreamInfer(iter([request]), metadata=client.metadata(target), timeout=PATIENCE)
    (reply,) = list(call)
    if reply.error_message:
        status = reply.infer_response.parameters["status"].string_param
        return Outcome(status, message=reply.error_message)
    return Outcome("OK", _grpc_values(reply.infer_response, is_raw=True))


WIRES: tuple[Wire, ...] = (
    *(Wire(f"/score {form}", "score", _score(form), is_positional=by_place) for form, (_, by_place) in _FORMS.items()),
    Wire("/api/v1/endpoint/score", "score", _score("input_data split", "/api/v1/endpoint/{}/score")),
    Wire("/api/v1/service/score", "score", _score("input_data records", "/api/v1/service/{}/score")),
    Wire("/invocations dataframe_split", "mlflow", _invocations(lambda frame: {"dataframe_split": _split(frame)})),
    Wire(
        "/invocations dataframe_records", "mlflow", _invocations(lambda frame: {"dataframe_records": frame.records()})
    ),
    Wire("/invocations instances", "mlflow", _invocations(lambda frame: {"instances": frame.records()})),
    Wire("/invocations inputs", "mlflow", _invocations(lambda frame: {"inputs": frame.by_name()})),
    Wire("/invocations CSV", "mlflow", _csv, is_text=True),
    Wire("/predict records", "vetiver", _predict(Frame.records)),
    Wire("/predict columns", "vetiver", _predict(Frame.by_name)),
    Wire("OIP HTTP JSON", "oip", _oip_json, is_typed=True),
    Wire("OIP HTTP binary", "oip", _oip_binary, is_typed=True),
    Wire("OIP gRPC raw", "grpc", _grpc(is_raw=True), is_typed=True),
    Wire("OIP gRPC typed", "grpc", _grpc(is_raw=False), is_typed=True),
    Wire("OIP gRPC stream", "grpc", _stream, is_typed=True),
)

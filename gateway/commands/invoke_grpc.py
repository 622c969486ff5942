"""The gRPC half of ``lockgate invoke``: an Open Inference Protocol client that asks the server for the types."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import grpc
import numpy as np

from gateway.commands.invoke import InvokeOptions, Refused, client_pair
from gateway.core.errors import ConfigError, InvalidInput
from gateway.core.payload import Named, Payload, Records, Table
from gateway.core.tensor import BY_NAME
from gateway.edge.json_forms import invocations_payload, score_payload
from gateway.wire.v1 import grpc_service_pb2 as wire
from gateway.wire.v1.grpc_service_pb2_grpc import GRPCInferenceServiceStub

__all__ = ["ask_grpc", "columns_of", "example_of", "records_of", "tensor_of"]

_LENGTH = 4
"""Bytes before each string of a BYTES tensor that say how long it is."""


def ask_grpc(options: InvokeOptions, key: str, ca: bytes | None) -> tuple[Any, float]:
    """The answer as records, and how long it took. Raises ``ConfigError`` or ``Refused``."""
    metadata = [("authorization", f"Bearer {key}")] if key else []
    certificate, private = client_pair(options)
    version = options.deployment or ""
    target = f"{options.host}:{options.target_port}"
    with grpc.secure_channel(target, grpc.ssl_channel_credentials(ca, private, certificate)) as channel:
        stub = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        try:
            described = stub.ModelMetadata(
                wire.ModelMetadataRequest(name=options.endpoint, version=version),
                metadata=metadata,
                timeout=options.timeout,
            )
            names = [tensor.name for tensor in described.inputs]
            if options.data is None:
                asked = wire.ModelConfigRequest(name=options.endpoint, version=version)
                columns = example_of(stub.ModelConfig(asked, metadata=metadata, timeout=options.timeout))
            else:
                columns = columns_of(options.data, names)
            request = wire.ModelInferRequest(model_name=options.endpoint, model_version=version)
            for name, datatype in _datatypes({each.name: each.datatype for each in described.inputs}, columns):
                shape, raw = tensor_of(datatype, columns[name])
                request.inputs.add(name=name, datatype=datatype, shape=shape)
                request.raw_input_contents.append(raw)
            started = perf_counter()
            answer = stub.ModelInfer(request, metadata=metadata, timeout=options.timeout)
            return records_of(answer), perf_counter() - started
        except grpc.RpcError as error:
            code, details = error.code(), error.details()
            raise Refused(f"gRPC {code.name}: {details}") from error


def columns_of(path: Path, names: Sequence[str]) -> dict[str, list[Any]]:
    """The columns of a file by name; a table without names is in the order of ``names``."""
    try:
        text = path.read_text()
        if path.suffix.lower() == ".csv":
            header, *lines = csv.reader(io.StringIO(text))
            payload: Payload = Table(header, [[cell if cell != "" else None for cell in line] for line in lines])
        else:
            value = json.loads(text)
            is_mlflow = isinstance(value, dict) and any(
                name in value for name in ("dataframe_split", "dataframe_records", "instances", "inputs")
            )
            payload = invocations_payload(value) if is_mlflow else score_payload(value)
    except OSError as error:
        raise ConfigError(f"--data {path}", f"cannot be read: {error.strerror}") from error
    except (ValueError, InvalidInput) as error:
        raise ConfigError(str(path), f"expected rows as JSON or CSV: {error}") from error
    match payload:
        case Records(rows):
            given_names = dict.fromkeys(name for row in rows for name in row)
            return {name: [row.get(name) for row in rows] for name in given_names}
        case Named(columns):
            return columns
        case Table(given, rows):
            listed = [row if isinstance(row, list) else [row] for row in rows]
            return {name: list(column) for name, column in zip(given or names, zip(*listed, strict=True), strict=True)}
        case _:
            raise ConfigError(str(path), "expected rows, found tensors")


def example_of(answer: wire.ModelConfigResponse) -> dict[str, list[Any]]:
    """The columns of the row that the model's configuration tells. Raises ``ConfigError`` where it tells none."""
    told = answer.config.parameters["example"].string_value
    if not told:  # a script that takes a text and brought none, an image, or an older server
        raise ConfigError("--example", f'"{answer.config.name}" has none; expected a request by --data')
    return {name: [value] for name, value in json.loads(told)[0].items()}


def _datatypes(described: dict[str, str], columns: dict[str, list[Any]]) -> list[tuple[str, str]]:
    """
    What to send, with its type. Where a described input is not in the file, features complete the rows by it; then the
    other columns are what the file says instead, and their types are those of their values.
    """
    found = [(name, datatype) for name, datatype in described.items() if name in columns]
    if len(found) < len(described):
        found += [(name, _guessed(values)) for name, values in columns.items() if name not in described]
    return found


def _guessed(values: Sequence[Any]) -> str:
    """Text that is all numbers, as in a CSV file, counts as numbers."""
    known = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in known):
        return "BOOL"
    try:
        np.array(known, dtype=np.float64)
    except (ValueError, TypeError):
        return "BYTES"
    return "INT64" if all(type(value) is int for value in values) else "FP64"


def tensor_of(datatype: str, values: Sequence[Any]) -> tuple[list[int], bytes]:
    """Shape and little-endian bytes of one column; cells of a CSV file are read as the type asks."""
    try:
        if datatype == "BYTES":
            texts = np.array([value if isinstance(value, list) else str(value) for value in values], dtype=object)
            encoded = [str(text).encode() for text in texts.reshape(-1)]
            return list(texts.shape), b"".join(len(text).to_bytes(_LENGTH, "little") + text for text in encoded)
        if datatype == "BOOL":
            values = [value.lower() in ("true", "t", "1") if isinstance(value, str) else value for value in values]
        filled = [float("nan") if value is None and datatype.startswith("FP") else value for value in values]
        array = np.array(filled, dtype=BY_NAME[datatype].numpy)
        return list(array.shape), array.tobytes()
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError("--data", f"a column does not fit {datatype}: {error}") from error


def records_of(answer: wire.ModelInferResponse) -> list[dict[str, Any]]:
    """One record per row."""
    columns: dict[str, list[Any]] = {}
    for position, output in enumerate(answer.outputs):
        raw = answer.raw_output_contents[position] if answer.raw_output_contents else None
        columns[output.name] = _values(output, raw)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _values(output: wire.ModelInferResponse.InferOutputTensor, raw: bytes | None) -> list[Any]:
    flat: list[Any]
    if raw is None:
        filled = [values for _, values in output.contents.ListFields()]
        flat = [value.decode() if isinstance(value, bytes) else value for value in (filled[0] if filled else ())]
    elif output.datatype == "BYTES":
        flat = _split(raw)
    else:
        flat = np.frombuffer(raw, dtype=BY_NAME[output.datatype].numpy).tolist()
    # As over HTTP: JSON has no word for what is not a number.
    plain = [None if isinstance(value, float) and not math.isfinite(value) else value for value in flat]
    shape = tuple(output.shape)
    if shape[1:] == (1,):  # one value per row, which some clients want as a column
        shape = shape[:1]
    listed: list[Any] = np.array(plain, dtype=object).reshape(shape).tolist()
    return listed


def _split(raw: bytes) -> list[str]:
    texts, at = [], 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + _LENGTH], "little")
        texts.append(raw[at + _LENGTH : at + _LENGTH + size].decode())
        at += _LENGTH + size
    return texts

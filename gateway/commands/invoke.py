"""
``lockgate invoke``: one request to any endpoint from a file, over HTTP or gRPC, as a check from the command line.

A JSON file is sent as it is, to the route that reads its form; a CSV file goes to the route that reads CSV.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal
from urllib.parse import quote

from gateway.core.errors import ConfigError

__all__ = ["InvokeOptions", "Refused", "client_pair", "invoke", "route_for"]

_DEFAULT_PORTS = {"http": 8443, "grpc": 8444}
_MLFLOW = ("dataframe_split", "dataframe_records", "instances", "inputs")


class Refused(Exception):
    """The server answered, but not with predictions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvokeOptions:
    """The command line."""

    endpoint: str
    data: Path | None
    is_example: bool
    deployment: str | None
    protocol: Literal["http", "grpc"]
    host: str
    port: int | None
    key_file: Path | None
    """None for none: a certificate is enough."""
    ca: Path | None
    """None for the authorities that this machine trusts."""
    timeout: float
    client: tuple[Path, Path] | None = None
    """A certificate of the caller's own, and its key."""

    @property
    def target_port(self) -> int:
        return self.port or _DEFAULT_PORTS[self.protocol]


def invoke(options: InvokeOptions) -> int:
    """Ask, print the answer; 1 when it was refused. Raises ``ConfigError`` for what is wrong on this side."""
    if (options.data is None) != options.is_example:
        raise ConfigError("--data", "expected either a file or --example")
    key = "" if options.key_file is None else _read(options.key_file, "--key-file").decode().strip()
    ca = None if options.ca is None else _read(options.ca, "--ca")
    try:
        if options.protocol == "grpc":
            from gateway.commands.invoke_grpc import ask_grpc

            answer, seconds = ask_grpc(options, key, ca)
        else:
            answer, seconds = _ask_http(options, key, ca)
    except Refused as refusal:
        sys.stderr.write(f"lockgate: {refusal}\n")
        return 1
    sys.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False) + "\n")
    sys.stderr.write(f"{seconds * 1000:.1f} ms\n")
    return 0


def route_for(path: Path, body: bytes, endpoint: str, deployment: str | None) -> tuple[str, str]:
    """The path and content type for a file: by its ending, and for JSON by its keys."""
    base = f"/api/v1/endpoint/{quote(endpoint, safe='')}"
    if path.suffix.lower() == ".csv":
        return f"{base}/invocations", "text/csv"
    try:
        value = json.loads(body)
    except ValueError as error:
        raise ConfigError(str(path), f"expected JSON, or a file that ends in .csv: {error}") from error
    kind = "application/json"
    if isinstance(value, dict):
        inputs = value.get("inputs")
        if isinstance(inputs, list) and inputs and all(isinstance(i, dict) and "datatype" in i for i in inputs):
            version = f"/versions/{quote(deployment, safe='')}" if deployment else ""
            return f"/v2/models/{quote(endpoint, safe='')}{version}/infer", kind
        if any(key in value for key in _MLFLOW):
            return f"{base}/invocations", kind
    return f"{base}/score", kind


def _ask_http(options: InvokeOptions, key: str, ca: bytes | None) -> tuple[Any, float]:
    context = ssl.create_default_context(cadata=None if ca is None else ca.decode("ascii", "replace"))
    if options.client is not None:
        try:
            context.load_cert_chain(*options.client)
        except OSError as error:
            certificate, private = options.client
            raise ConfigError(f"--certificate {certificate}", f"expected it to belong to {private}: {error}") from error
    connection = http.client.HTTPSConnection(
        options.host, options.target_port, timeout=options.timeout, context=context
    )
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    if options.deployment:
        headers["azureml-model-deployment"] = options.deployment
    try:
        connection.connect()
        if options.data is None:
            body = _example(connection, options.endpoint, headers)
            path, kind = f"/api/v1/endpoint/{quote(options.endpoint, safe='')}/score", "application/json"
        else:
            body = _read(options.data, "--data")
            path, kind = route_for(options.data, body, options.endpoint, options.deployment)
        started = perf_counter()
        answer = _exchange(connection, "POST", path, body, {**headers, "Content-Type": kind})
        return answer, perf_counter() - started
    except ssl.SSLCertVerificationError as error:
        raise ConfigError("--ca", f"the server's certificate is not from this CA: {error.verify_message}") from error
    except OSError as error:
        where = f"{options.host}:{options.target_port}"
        raise ConfigError(where, f"no answer: {error.strerror or error}") from error
    finally:
        connection.close()


def _example(connection: http.client.HTTPSConnection, endpoint: str, headers: dict[str, str]) -> bytes:
    path = f"/api/v1/endpoint/{quote(endpoint, safe='')}/swagger.json?version=3"
    document = _exchange(connection, "GET", path, None, headers)
    taken = document["components"]["schemas"]["ServiceInput"]
    if "example" not in taken:  # a script that takes the text of a request: nobody else can make one up
        raise ConfigError("--example", f'"{endpoint}" has none; expected a request by --data')
    return json.dumps(taken["example"]).encode()


def _exchange(
    connection: http.client.HTTPSConnection, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> Any:
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    text = response.read().decode(errors="replace")
    if response.status != 200:
        raise Refused(f"HTTP {response.status}: {text.strip()}")
    try:
        return json.loads(text)
    except ValueError:
        return text


def client_pair(options: InvokeOptions) -> tuple[bytes, bytes] | tuple[None, None]:
    """The caller's own certificate and its key, in PEM."""
    if options.client is None:
        return None, None
    certificate, private = options.client
    return _read(certificate, "--certificate"), _read(private, "--certificate-key")


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{option} {path}", f"cannot be read: {error.strerror}") from error

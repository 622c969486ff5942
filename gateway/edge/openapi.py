"""
The API document of one endpoint, from its signature: Swagger 2, OpenAPI 3.0 or 3.1, with an example that works.

Names follow azmlinfsrv's document (``ServiceInput``, ``ServiceOutput``, ``ErrorResponse``, the ``Bearer`` scheme), so
that clients which were generated from that one find what they know.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.core.catalog import DeploymentState, EndpointState, not_loaded
from gateway.core.signature import Column, Kind, Signature
from gateway.edge.example import example_row

__all__ = ["VERSIONS", "document"]

VERSIONS = {"2": "2.0", "2.0": "2.0", "3": "3.0.3", "3.0": "3.0.3", "3.1": "3.1.0"}
"""What may be asked for → what the document says it is."""

_JSON = "application/json"
_TYPES = {
    Kind.FLOAT: "number",
    Kind.INTEGER: "integer",
    Kind.BOOLEAN: "boolean",
    Kind.STRING: "string",
    Kind.CATEGORICAL: "string",
}
_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
            "required": ["code", "message"],
        }
    },
}


def document(endpoint: EndpointState, described: DeploymentState, *, version: str, base: str = "") -> dict[str, Any]:
    """``version`` is a key of ``VERSIONS``. Raises ``NotReady`` while no worker has told the signature."""
    if described.deployment is None:
        raise not_loaded(endpoint.name, described.name, has_failed=described.has_failed)
    spec = VERSIONS[version]
    signature = described.deployment.signature
    if described.deployment.takes_text:
        schemas = {"ServiceInput": _text_input(signature), "ServiceOutput": {}}
    else:
        schemas = {"ServiceInput": _input(signature, spec), "ServiceOutput": _output(signature, spec)}
    schemas["ErrorResponse"] = _ERROR
    info = {
        "title": endpoint.name,
        "version": described.name,
        "description": endpoint.description or f"Scores rows with the model {endpoint.name}.",
    }
    paths = {
        f"{base}/": {"get": _operation("ServerAlive", "Whether the server is alive", {"200": "alive"}, spec)},
        f"{base}/score": {"post": _score(endpoint.name, spec)},
        f"{base}/swagger.json": {"get": _operation("GetSwagger", "This document", {"200": "the document"}, spec)},
    }
    bearer = {"type": "apiKey", "name": "Authorization", "in": "header", "description": "For example: Bearer abc123"}
    if spec == "2.0":
        return {
            "swagger": spec,
            "info": info,
            "schemes": ["https"],
            "consumes": [_JSON],
            "produces": [_JSON],
            "securityDefinitions": {"Bearer": bearer},
            "paths": paths,
            "definitions": schemas,
        }
    return {
        "openapi": spec,
        "info": info,
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"securitySchemes": {"Bearer": bearer}, "schemas": schemas},
    }


def _text_input(signature: Signature) -> dict[str, Any]:
    """Anything at all, with the first of the requests that the model brought: only its script knows what it takes."""
    if not signature.example:
        return {}
    text = str(signature.example[0][0])
    try:
        return {"example": msgspec.json.decode(text)}
    except (msgspec.DecodeError, ValueError):
        return {"example": text}


def _input(signature: Signature, spec: str) -> dict[str, Any]:
    record = {
        "type": "object",
        "properties": {column.name: _schema(column, spec) for column in signature.inputs},
        "required": [column.name for column in signature.inputs],
    }
    return {
        "type": "object",
        "required": ["input_data"],
        "properties": {"input_data": {"type": "array", "items": record, "minItems": 1}},
        "additionalProperties": False,
        "example": {"input_data": [example_row(signature)]},
    }


def _output(signature: Signature, spec: str) -> dict[str, Any]:
    if len(signature.outputs) == 1:
        return {"type": "array", "items": _schema(signature.outputs[0], spec)}
    properties = {column.name: _schema(column, spec) for column in signature.outputs}
    return {"type": "array", "items": {"type": "object", "properties": properties}}


def _schema(column: Column, spec: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": _TYPES[column.kind]}
    if column.kind is Kind.FLOAT:
        schema["format"] = "double" if column.datatype.size == 8 else "float"
    elif column.kind is Kind.INTEGER and column.datatype.size in (4, 8):
        schema["format"] = f"int{column.datatype.size * 8}"
    if column.levels:
        schema["enum"] = list(column.levels)
    for length in reversed(column.shape):
        schema = {"type": "array", "items": schema}
        if length >= 0:
            schema |= {"minItems": length, "maxItems": length}
    if column.nullable:
        if spec == "3.0.3":
            schema["nullable"] = True
        elif spec == "3.1.0":
            schema["type"] = [schema["type"], "null"]
        else:
            schema["x-nullable"] = True
        if "enum" in schema and spec != "2.0":
            schema["enum"] = [*schema["enum"], None]
    return schema


def _score(endpoint: str, spec: str) -> dict[str, Any]:
    refused = {"400": "the body does not fit the model", "401": "no valid credential", "default": "another error"}
    operation = _operation("RunMLService", f"Score rows with {endpoint}", {"200": "the predictions"} | refused, spec)
    operation["security"] = [{"Bearer": []}]
    for code, response in operation["responses"].items():
        name = "ServiceOutput" if code == "200" else "ErrorResponse"
        if spec == "2.0":
            response["schema"] = {"$ref": f"#/definitions/{name}"}
        else:
            response["content"] = {_JSON: {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    if spec == "2.0":
        body = {"name": "serviceInputPayload", "in": "body", "required": True}
        operation["parameters"] = [{**body, "schema": {"$ref": "#/definitions/ServiceInput"}}]
    else:
        schema = {"$ref": "#/components/schemas/ServiceInput"}
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": schema}}}
    return operation


def _operation(name: str, summary: str, responses: dict[str, str], spec: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {code: {"description": text} for code, text in responses.items()},
    }
    if name == "ServerAlive" and spec == "2.0":
        operation["produces"] = ["text/plain"]
    return operation

"""
What the Open Inference Protocol tells of endpoints: an endpoint is a model, a deployment is a version of it.

Everything here is a plain mapping with the protocol's own field names: the HTTP wire writes it as JSON, the gRPC wire
parses it into the message of the same fields, so that neither can say something else.

Versions are the names of deployments, in the order of the file. Clients made for Triton send numbers, so a number that
is no name counts from 1 in that order. Statistics answer in the form that was asked for, and in numbers when none was:
perf_analyzer reads that field as an integer, and ends when it cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeAlias

import msgspec

from gateway.core.catalog import Catalog, DeploymentState, EndpointState, Stats, StatsSource
from gateway.core.errors import InvalidInput, NotFound, NotReady
from gateway.core.request import Deployment
from gateway.core.signature import Column
from gateway.edge.example import known_row

__all__ = [
    "EXTENSIONS",
    "Document",
    "find_version",
    "loaded",
    "model_config",
    "model_metadata",
    "pinned",
    "repository_index",
    "server_metadata",
    "statistics",
    "timeout_us",
    "version_name",
]

Document: TypeAlias = dict[str, Any]

EXTENSIONS = ("binary_tensor_data", "model_configuration", "statistics")
"""Clients look here before they use one, so only what works is listed."""

REPOSITORY = "model_repository"
"""Listed where models can be loaded and unloaded."""

_MAX_NUMBER = 9
"""Digits of a version number that is looked at: nobody has a thousand million deployments."""

_MAX_TIMEOUT_DIGITS = 15


def find_version(endpoint: EndpointState, requested: str) -> DeploymentState:
    """The deployment of that name or number; the one that speaks for the endpoint when empty. Raises ``NotFound``."""
    if not requested:
        return endpoint.default
    name = version_name(endpoint, requested)
    if name is None:
        raise NotFound(f'model "{endpoint.name}" has no version "{requested}"')
    return endpoint.deployments[name]


def loaded(endpoint: EndpointState, requested: str) -> Deployment:
    """The version's deployment. Raises ``NotFound``, or ``NotReady`` before the model was loaded once."""
    state = find_version(endpoint, requested)
    if state.deployment is None:
        raise NotReady(f'version "{state.name}" of model "{endpoint.name}" is not loaded: {state.reason or "wait"}')
    return state.deployment


def version_name(endpoint: EndpointState, requested: str) -> str | None:
    """The deployment that a version means; None when there is none."""
    if requested in endpoint.deployments:
        return requested
    if requested.isascii() and requested.isdigit() and len(requested) <= _MAX_NUMBER:
        names = list(endpoint.deployments)
        number = int(requested)
        if 1 <= number <= len(names):
            return names[number - 1]
    return None


def pinned(catalog: Catalog, model: str | None, requested: str, header: str) -> str | None:
    """
    The deployment that a request insists on, by version, by header or by both; None leaves it to the weights.

    Asked before the caller is known, so a model or version that does not exist is no error here: it is passed on to
    routing, which refuses it.
    """
    if not requested:
        return header or None
    try:
        name = version_name(catalog.endpoint(model), requested) or requested
    except NotFound:
        name = requested
    if header and header != name:
        raise InvalidInput(f'version "{requested}" and azureml-model-deployment "{header[:64]}" are not the same')
    return name


def timeout_us(value: object) -> int:
    """The request parameter ``timeout`` in microseconds; 0 for none. Raises ``InvalidInput``."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_TIMEOUT_DIGITS:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**_MAX_TIMEOUT_DIGITS:
        raise InvalidInput('parameter "timeout": expected a whole number of microseconds')
    return value


def server_metadata(*, has_repository: bool = False) -> Document:
    extensions = [*EXTENSIONS, REPOSITORY] if has_repository else [*EXTENSIONS]
    return {"name": "lockgate", "version": _product_version(), "extensions": extensions}


def model_metadata(endpoint: EndpointState, requested: str) -> Document:
    """Raises ``NotFound``, or ``NotReady`` before the model was loaded once."""
    deployment = loaded(endpoint, requested)
    return {
        "name": endpoint.name,
        "versions": list(endpoint.deployments),
        "platform": deployment.platform,
        "inputs": [_tensor_metadata(column) for column in deployment.signature.inputs],
        "outputs": [_tensor_metadata(column) for column in deployment.signature.outputs],
    }


def model_config(endpoint: EndpointState, requested: str) -> Document:
    """
    The part of Triton's model configuration that clients read; errors as for ``model_metadata``.

    ``max_batch_size`` is above 0, which by Triton's rules means that every tensor has a first dimension that counts
    rows, and that ``dims`` here leave it out. Its parameter ``example`` is one row that the model answers, as a JSON
    list of one object: the protocol has no other place for it.
    """
    deployment = loaded(endpoint, requested)
    return {
        "name": endpoint.name,
        "platform": deployment.platform,
        "backend": deployment.platform.partition("_")[0],
        "max_batch_size": deployment.max_rows,
        "input": [_tensor_config(column) for column in deployment.signature.inputs],
        "output": [_tensor_config(column) for column in deployment.signature.outputs],
        "dynamic_batching": {},
        "model_transaction_policy": {"decoupled": False},
        "parameters": _parameters(deployment),
        "response_cache": {"enable": False},
    }


def statistics(endpoints: Iterable[EndpointState], requested: str, source: StatsSource) -> Document:
    """Counters of one version, or of every version when none is named. Raises ``NotFound``."""
    entries: list[Document] = []
    for endpoint in endpoints:
        if requested:
            state = find_version(endpoint, requested)
            entries.append(_statistics(endpoint.name, requested, source.stats(endpoint.name, state.name)))
        else:
            entries += [
                _statistics(endpoint.name, str(number), source.stats(endpoint.name, name))
                for number, name in enumerate(endpoint.deployments, start=1)
            ]
    return {"model_stats": entries}


def repository_index(endpoints: Iterable[EndpointState], *, only_ready: bool) -> list[Document]:
    """Every version with its state; only those that can serve on request."""
    return [
        {
            "name": endpoint.name,
            "version": state.name,
            "state": _repository_state(endpoint, state),
            "reason": state.reason,
        }
        for endpoint in endpoints
        for state in endpoint.deployments.values()
        if state.is_ready or not only_ready
    ]


def _repository_state(endpoint: EndpointState, state: DeploymentState) -> str:
    if state.is_ready:
        return "READY"
    return "UNAVAILABLE" if state.deployment or not endpoint.is_loaded else "LOADING"


def _dims(column: Column) -> Sequence[int]:
    return list(column.shape) or [1]


def _tensor_metadata(column: Column) -> Document:
    return {"name": column.name, "datatype": column.datatype.name, "shape": [-1, *_dims(column)]}


def _parameters(deployment: Deployment) -> Document:
    row = known_row(deployment)
    return {} if row is None else {"example": {"string_value": msgspec.json.encode([row]).decode()}}


def _tensor_config(column: Column) -> Document:
    word = "STRING" if column.datatype.name == "BYTES" else column.datatype.name
    return {"name": column.name, "data_type": f"TYPE_{word}", "dims": _dims(column)}


def _duration(count: int, ns: int) -> Document:
    return {"count": count, "ns": ns}


def _statistics(endpoint: str, named: str, stats: Stats) -> Document:
    """Inputs and outputs are made while computing; perf_analyzer stops where their counts differ."""
    none = _duration(0, 0)
    free = _duration(stats.success_count, 0)
    return {
        "name": endpoint,
        "version": named,
        "last_inference": stats.last_inference_ms,
        "inference_count": stats.inference_count,
        "execution_count": stats.execution_count,
        "inference_stats": {
            "success": _duration(stats.success_count, stats.success_ns),
            "fail": _duration(stats.fail_count, stats.fail_ns),
            "queue": _duration(stats.success_count, stats.queue_ns),
            "compute_input": free,
            "compute_infer": _duration(stats.success_count, stats.compute_ns),
            "compute_output": free,
            "cache_hit": none,
            "cache_miss": none,
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": rows,
                "compute_input": _duration(count, 0),
                "compute_infer": _duration(count, ns),
                "compute_output": _duration(count, 0),
            }
            for rows, (count, ns) in sorted((stats.batches or {}).items())
        ],
        "memory_usage": [],
    }


def _product_version() -> str:
    try:
        return version("lockgate")
    except PackageNotFoundError:
        return "0"

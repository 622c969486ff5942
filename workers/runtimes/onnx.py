"""
ONNX Runtime: the only file that imports ``onnxruntime``, and only when a model is loaded.

One session and one thread per worker: threads of one operator as configured, no pool across operators, no spinning,
since a spinning thread takes the core from the gRPC thread beside it. The session loads from the path, so a model may
keep its weights in files beside it. A run that is over its budget is stopped between two operators
(``RunOptions.terminate``); one long operator is not, and then the caller kills.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

import structlog

from workers.mlmodel import read_mlmodel
from workers.options import GroupOptions
from workers.runtimes.base import (
    Batch,
    BatchInvalid,
    Loaded,
    LoadError,
    ModelError,
    ModelTimeout,
    Result,
    Runtime,
)
from workers.runtimes.onnx_device import check_device, choose_providers
from workers.runtimes.onnx_inputs import InputPlan, plan_inputs
from workers.runtimes.onnx_outputs import OutputPlan, is_class_map, plan_outputs
from workers.runtimes.onnx_tensor import TensorInfo
from workers.runtimes.onnx_wheels import check_wheels
from workers.sample import example_batch, neutral_batch
from workers.schema import Schema
from workers.signature_file import SignatureFile, find_signature, read_signature

__all__ = ["OnnxRuntime"]

log = structlog.get_logger()


class OnnxRuntime(Runtime):
    """One ONNX model."""

    loads_before_fork: ClassVar[bool] = False

    def __init__(self, group: GroupOptions) -> None:
        self._group = group
        self._is_interrupted = False
        self._session: Any = None
        self._run_options: Any = None
        self._failures: tuple[type[Exception], ...] = ()
        self._inputs: InputPlan
        self._outputs: OutputPlan

    def load(self) -> Loaded:
        check_wheels()
        import onnxruntime

        path, signature, source = _find(Path(self._group.model))
        self._failures = _failures()
        device = self._open(onnxruntime, path)
        # CUDA and TensorRT keep handles and memory for each thread that runs them; a captured graph allows only one.
        self.scores_anywhere = device == "cpu"
        inputs = [TensorInfo.of(argument) for argument in self._session.get_inputs()]
        outputs = [TensorInfo.of(argument) for argument in self._session.get_outputs()]
        self._inputs = plan_inputs(inputs, signature.inputs, source)
        max_rows = self._inputs.max_rows
        classes: dict[str, list[Any]] = {}
        if any(is_class_map(output) or output.dims[:1] in ((), (1,)) for output in outputs):
            outputs, classes, probed_max = self._probe(outputs, signature, max_rows)
            max_rows = max_rows or probed_max
        for output in outputs:
            if output.datatype is not None and output.dims[0] not in (None, 1):
                raise LoadError(
                    f'output "{output.name}" has a fixed first dimension of {output.dims[0]}: expected one that '
                    "counts rows"
                )
        self._outputs = plan_outputs(outputs, classes, signature.outputs, source)
        if signature.example:
            example_batch(self._inputs.columns, signature.example, 1)
        return Loaded(
            schema=Schema(inputs=self._inputs.columns, outputs=self._outputs.columns, example=signature.example),
            platform="onnx_onnxruntime",
            runtime=f"ONNX Runtime {onnxruntime.__version__}",
            device=device,
            max_rows=max_rows,
            properties={
                "providers": ",".join(self._session.get_providers()),
                "device_demanded": self._group.device,
                "threads": str(self._group.threads),
                **{f"classes.{name}": json.dumps(labels) for name, labels in classes.items()},
            },
        )

    def score(self, batch: Batch) -> Result:
        if self._is_interrupted:  # it came too late for the batch that it was meant for
            self._is_interrupted = self._run_options.terminate = False
        try:
            feed = self._inputs.feed(batch)
        except ValueError as error:  # numpy: the bytes are not the records that the schema says
            raise BatchInvalid(str(error)) from error
        try:
            outputs = self._session.run(self._outputs.names, feed, self._run_options)
        except self._failures as error:
            if self._is_interrupted:
                raise ModelTimeout from error
            raise ModelError(_told(error), kind=type(error).__name__) from error
        return self._outputs.collect(outputs, batch.rows)

    def interrupt(self) -> None:
        self._is_interrupted = True
        self._run_options.terminate = True

    def _open(self, onnxruntime: Any, path: Path) -> str:
        """Create the session; returns the device that it runs on."""
        group = self._group
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = group.threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # its warnings repeat per operator; what matters is raised
        providers = choose_providers(group.device, group.provider_options, onnxruntime.get_available_providers())
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except self._failures as error:
            raise LoadError(f"{path}: ONNX Runtime cannot load it: {_told(error)}") from error
        self._run_options = onnxruntime.RunOptions()
        self._run_options.log_severity_level = 4  # a failed run is raised, and its log line could hold input values
        device = check_device(group.device, providers, self._session.get_providers())
        if group.device == "auto" and device == "cpu" and providers[0][0] != "CPUExecutionProvider":
            log.warning("onnx.fell_back_to_cpu", asked=providers[0][0], got=self._session.get_providers())
        return device

    def _probe(
        self, outputs: list[TensorInfo], signature: SignatureFile, max_rows: int
    ) -> tuple[list[TensorInfo], dict[str, list[Any]], int]:
        """
        Score once to learn what the graph does not say: the classes of a map, the rank of an output without a shape,
        and whether a first dimension of 1 holds for two rows (older converters write it and do not mean it).
        """
        columns, rows = self._inputs.columns, max_rows or 2
        batch = example_batch(columns, signature.example, rows) if signature.example else neutral_batch(columns, rows)
        try:
            results = self._session.run(None, self._inputs.feed(batch), self._run_options)
        except self._failures as error:
            told = ", ".join(f'"{output.name}"' for output in outputs)
            hint = "" if signature.example else "; add an example row to signature.json"
            raise LoadError(
                f"the outputs {told} only show when the model runs, and it failed: {_told(error)}{hint}"
            ) from error
        found, classes, largest = [], {}, 0
        for output, result in zip(outputs, results, strict=True):
            if is_class_map(output):
                classes[output.name] = list(result[0])
                found.append(output)
            elif isinstance(result, list):  # a sequence that plan_outputs refuses with its name
                found.append(output)
            elif result.ndim == 0:
                raise LoadError(f'output "{output.name}" is one value for a whole batch: expected one for each row')
            else:
                dims = output.dims or (None,) * result.ndim
                if not output.dims and result.shape[1:] == (1,):
                    dims = (None, 1)
                if len(result) == 1 < rows:
                    largest = 1
                found.append(TensorInfo(output.name, output.type, (None, *dims[1:])))
        return found, classes, largest


def _find(model: Path) -> tuple[Path, SignatureFile, str]:
    """The model file, the declared columns (perhaps none), and the file that declares them. Raises ``LoadError``."""
    path, declared, source = model, SignatureFile(inputs=()), str(model)
    if model.is_dir() and (model / "MLmodel").is_file():
        described = read_mlmodel(model / "MLmodel")
        # The outputs that MLflow logs are the columns of a data frame, not of the graph: the graph says more.
        path, declared, source = described.model, SignatureFile(inputs=described.inputs), str(model / "MLmodel")
    elif model.is_dir():
        path = source_path = model / "model.onnx"
        source = str(source_path)
    if (file := find_signature(model)) is not None:
        declared, source = read_signature(file), str(file)
    if not path.is_file():
        raise LoadError(f"{path}: no such file")
    return path, declared, source


def _failures() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: each status of its own, without a common base; and RuntimeError from its bindings."""
    from onnxruntime.capi import onnxruntime_pybind11_state as native

    own = [value for value in vars(native).values() if isinstance(value, type) and issubclass(value, Exception)]
    return (*own, RuntimeError)


def _told(error: Exception) -> str:
    """Its text without its source paths and the number of its status."""
    text = re.sub(r"\S*/onnxruntime/\S+ ", "", str(error))
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : ", "", text).strip()[:2000]

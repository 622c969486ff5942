"""What a worker says of itself once its model is loaded: the facts that a deployment is published with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.core.signature import Signature

__all__ = ["Description"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One loaded model in one worker process."""

    signature: Signature
    platform: str
    """In OIP's words: ``onnx_onnxruntime`` or ``r``."""
    runtime: str = ""
    """Name and version, such as ``R 4.2.2``."""
    device: str = "cpu"
    """Where it really runs."""
    pid: int = 0
    max_rows: int = 0
    """The largest batch that the model takes; 0: no limit of its own."""
    load_ms: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)

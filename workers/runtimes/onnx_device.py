"""
Which execution providers a session asks for, and whether it got them.

ONNX Runtime falls back to the CPU with one log line, even when only CUDA was asked for; only what the session reports
after it was created tells the truth. A demanded device that was not obtained is an error; ``auto`` takes what is there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from workers.runtimes.base import LoadError

__all__ = ["check_device", "choose_providers"]

Providers: TypeAlias = list[tuple[str, dict[str, Any]]]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"


def choose_providers(device: str, options: Mapping[str, Any], available: Sequence[str]) -> Providers:
    """
    The providers to ask for, the wanted one first; ``options`` are for that one. Raises ``LoadError`` for a device that
    does not exist or that this build of ONNX Runtime does not know.
    """
    if device == "auto":
        device = "cuda:0" if CUDA in available else "cpu"
    if device == "cpu":
        return [(CPU, dict(options))]
    match = re.fullmatch(r"(cuda|tensorrt):(\d+)", device)
    if match is None:
        raise LoadError(f"device: expected auto, cpu, cuda:N or tensorrt:N, got {device}")
    wanted, index = {"cuda": CUDA, "tensorrt": TENSORRT}[match[1]], {"device_id": int(match[2])}
    if wanted not in available:
        raise LoadError(
            f"device: {device} was demanded, but the installed ONNX Runtime has no {wanted} (it has "
            f"{', '.join(available)}): install the extra onnx-gpu, or set device to auto or cpu"
        )
    first = (wanted, {**index, **options})
    return [first, (CPU, {})] if wanted == CUDA else [first, (CUDA, dict(index)), (CPU, {})]


def check_device(device: str, providers: Providers, obtained: Sequence[str]) -> str:
    """Where the session really runs, such as ``cuda:0``. Raises ``LoadError`` when that is not what was demanded."""
    wanted, options = providers[0]
    if wanted not in obtained:
        if device != "auto":
            raise LoadError(
                f"device: {device} was demanded, but the session runs on {', '.join(obtained)}: is there such a GPU, "
                "and do driver, CUDA and cuDNN fit this ONNX Runtime?"
            )
        return "cpu"
    if wanted == CPU:
        return "cpu"
    return f"{'cuda' if wanted == CUDA else 'tensorrt'}:{options['device_id']}"

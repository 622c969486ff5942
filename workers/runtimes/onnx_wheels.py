"""
Finds two ONNX Runtime wheels installed at once.

``onnxruntime`` and ``onnxruntime-gpu`` install the same files over each other; whichever came last wins in part, and
what then loads may be neither. pip does not notice, so we do, before the library is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata

from workers.runtimes.base import LoadError

__all__ = ["check_wheels", "installed_wheels"]

_WHEELS = ("onnxruntime", "onnxruntime-gpu")


def installed_wheels(version: Callable[[str], str] = metadata.version) -> dict[str, str]:
    """Name → version of each wheel that brings ONNX Runtime."""
    found: dict[str, str] = {}
    for name in _WHEELS:
        try:
            found[name] = version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def check_wheels(version: Callable[[str], str] = metadata.version) -> None:
    """Raises ``LoadError`` unless exactly one of the wheels is installed."""
    found = installed_wheels(version)
    if len(found) > 1:
        both = " and ".join(f"{name} {number}" for name, number in found.items())
        raise LoadError(
            f"{both} are both installed and overwrite each other's files: uninstall both, then install one of the "
            "extras onnx and onnx-gpu"
        )
    if not found:
        raise LoadError("ONNX Runtime is not installed: install one of the extras onnx and onnx-gpu")

"""What the figures were taken on; without it they mean little."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from loadtests.bench.pace import least_us

__all__ = ["facts"]

LIBRARIES = ("aiohttp", "grpcio", "uvloop", "protobuf", "msgspec", "numpy", "onnxruntime", "rpy2-rinterface")


def facts() -> dict[str, object]:
    """Processor, cores, kernel, the versions of what was measured, and how fast its interpreter is here."""
    processor = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return {
        "processor": processor[1] if processor else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "python_pace_us": least_us(),
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))},
        "r": _first_line(["R", "--version"]),
        "plumber": _first_line(["Rscript", "-e", 'cat(as.character(packageVersion("plumber")))']),
        "wrk": _first_line(["wrk", "-v"]),
        "h2load": _first_line(["h2load", "--version"]),
    }


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def _first_line(argv: list[str]) -> str:
    """wrk says its version with status 1, so the status says nothing."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        return ""
    return (done.stdout or done.stderr).splitlines()[0].strip() if done.stdout or done.stderr else ""

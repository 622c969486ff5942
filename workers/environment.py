"""
The environment that a group of workers starts with: an allow-list, because rpy2 starts R through a script that writes
the whole environment into a temporary file, and because no model has any business with the gateway's secrets.

Thread counts and the stack limit only count when they are there before the first library is loaded. So the group
process replaces itself by itself (``exec``) with this environment and these limits; ``is_prepared`` tells the second
life from the first.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Mapping, MutableMapping
from typing import NoReturn

from workers.threads import limit_threads

__all__ = ["STACK", "clean", "is_prepared", "restart_prepared"]

STACK = 64 * 2**20
"""Bytes of C stack for R, as rpy2's frames come on top: deep recursion is then R's own error before it is a crash."""

_MARK = "LOCKGATE_WORKERS"
_KEPT = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TZDIR",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "VIRTUAL_ENV",
    }
)
_KEPT_PREFIXES = ("LC_", "R_", "OMP_", "KMP_", "MKL_", "OPENBLAS_", "CUDA_", "NVIDIA_", "ORT_", "TENSORRT_", "PYTHON")
_SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")
"""No variable with such a word in its name is kept, whatever it starts with."""


def clean(environ: Mapping[str, str], threads: int) -> dict[str, str]:
    """What of ``environ`` a model may see, with the thread counts set and a locale that knows UTF-8."""
    kept: MutableMapping[str, str] = {
        name: value
        for name, value in environ.items()
        if (name in _KEPT or name.startswith(_KEPT_PREFIXES)) and not any(word in name for word in _SECRET)
    }
    limit_threads(kept, threads)
    if not any("utf" in kept.get(name, "").lower() for name in ("LC_ALL", "LC_CTYPE", "LANG")):
        kept["LC_ALL"] = "C.UTF-8"  # R would read a level such as "Zürich" as bytes
    kept["RPY2_CFFI_MODE"] = "ABI"
    kept["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # its handlers watch every fork, and there is nothing of gRPC to save
    # Keeps gRPC's sockets on the poller that grpc.aio brings anyway; its event engine passes each message between
    # threads of its own first: about 15 of 115 µs of CPU for a one-row batch (grpcio 1.85). Read when grpc is
    # imported; a release that has dropped the switch logs one line.
    kept["GRPC_EXPERIMENTS"] = "-event_engine_client,-event_engine_listener"
    kept[_MARK] = "1"
    return dict(kept)


def is_prepared(environ: Mapping[str, str]) -> bool:
    return environ.get(_MARK) == "1"


def restart_prepared(threads: int, *, needs_stack: bool) -> NoReturn:
    """Replace this process by itself with the clean environment, and with a large stack for R."""
    if needs_stack:
        soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
        wanted = STACK if hard == resource.RLIM_INFINITY else min(STACK, hard)
        if soft == resource.RLIM_INFINITY or soft < wanted:
            resource.setrlimit(resource.RLIMIT_STACK, (wanted, hard))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], clean(os.environ, threads))  # noqa: S606

"""How many threads numeric libraries start: they read it from the environment when they load, and never again."""

from __future__ import annotations

from collections.abc import MutableMapping

__all__ = ["limit_threads"]

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RCPP_PARALLEL_NUM_THREADS",
    "R_RANGER_NUM_THREADS",
)


def limit_threads(environ: MutableMapping[str, str], threads: int) -> None:
    """
    Set them all, also over what the user's shell says: a worker that is pinned to a core and starts a thread for each
    core of the machine spends its time switching between them. Call it before numpy or R is loaded.
    """
    for name in VARIABLES:
        environ[name] = str(threads)
    environ["OMP_THREAD_LIMIT"] = str(max(threads, 1))
    environ["OMP_WAIT_POLICY"] = "PASSIVE"

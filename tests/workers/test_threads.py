"""The environment of numeric libraries."""

from __future__ import annotations

from workers.threads import VARIABLES, limit_threads


def test_every_library_is_told_and_the_shell_is_overruled() -> None:
    environ = {"OMP_NUM_THREADS": "64", "HOME": "/h"}
    limit_threads(environ, 2)

    assert {environ[name] for name in VARIABLES} == {"2"}
    assert environ["HOME"] == "/h"

"""Starts the peer for R: one plumber process that serves one model (plumber/plumber.R)."""

from __future__ import annotations

import http.client
from contextlib import ExitStack
from pathlib import Path

from loadtests.bench import wrk
from loadtests.bench.layout import Layout
from loadtests.bench.load import Request
from loadtests.bench.requests import diamond_json
from loadtests.bench.server import Server, free_port
from loadtests.bench.target import Target

__all__ = ["plumber"]

SCRIPT = Path(__file__).parent / "plumber" / "plumber.R"
START_SECONDS = 60.0


def plumber(stack: ExitStack, layout: Layout, logs: Path, model: Path, group: str) -> Target:
    """Plumber alone on the second core, wrk on the first."""
    port = free_port()
    argv = ["Rscript", str(SCRIPT), str(model / "model.rds"), str(port)]
    server = stack.enter_context(
        Server(f"plumber {group}", argv, cores=[layout.load], log=logs / f"plumber-{group}.log")
    )
    server.wait_until(lambda: _is_live(port), START_SECONDS)
    return Target(
        group=group,
        server="plumber",
        request=Request(url=f"http://127.0.0.1:{port}/score", body=diamond_json()),
        generate=wrk.run,
        load_core=layout.server,
        roles=lambda: server.roles,
    )


def _is_live(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/live")
        return connection.getresponse().status == 200
    except ConnectionRefusedError:
        return False
    finally:
        connection.close()

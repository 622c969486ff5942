"""
Closed-loop REST load: wrk, with a script that posts a body and prints the result as one line of JSON.

wrk's own summary rounds and mixes units; the script reads the same figures before they are rounded.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

from loadtests.bench.load import Load, Request

__all__ = ["parse", "run", "script"]

RESULT = "lockgate-bench "
"""Starts the line that holds the result."""

DONE = (
    """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n"""
    + RESULT
    + """{"requests": %d, "seconds": %.6f, "p50_ms": %.4f, "p99_ms": %.4f, "errors": %d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.status + e.connect + e.read + e.write + e.timeout))
end
"""
)


def run(request: Request, *, connections: int, seconds: float, core: int) -> Load:
    """Load for about ``seconds`` (wrk counts whole ones) from ``core``."""
    whole = max(1, round(seconds))
    with tempfile.TemporaryDirectory() as folder:
        lua = Path(folder, "post.lua")
        lua.touch(mode=0o600)
        lua.write_text(script(request))
        wrk = ["wrk", "-t1", f"-c{connections}", f"-d{whole}s", "--timeout", "10s", "-s", str(lua), request.url]
        done = subprocess.run(
            ["taskset", "-c", str(core), *wrk], capture_output=True, text=True, timeout=whole + 60, check=True
        )
    return parse(done.stdout)


def script(request: Request) -> str:
    """The Lua program for ``request``."""
    headers = {"Content-Type": "application/json", **request.headers}
    lines = ['wrk.method = "POST"', f"wrk.body = {_quoted(request.body.decode())}"]
    lines += [f"wrk.headers[{_quoted(name)}] = {_quoted(value)}" for name, value in headers.items()]
    return "\n".join(lines) + DONE


def parse(output: str) -> Load:
    """The result that the script printed. Raises ``ValueError`` when there is none."""
    for line in output.splitlines():
        if line.startswith(RESULT):
            return Load(**json.loads(line.removeprefix(RESULT)))
    raise ValueError(f"wrk printed no result:\n{output}")


def _quoted(text: str) -> str:
    """A Lua string: every byte by its number where it could mean something to Lua."""
    return '"' + "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\' else f"\\{b:03d}" for b in text.encode()) + '"'

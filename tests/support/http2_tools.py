"""curl, nghttp and h2load as tests call them: what they were told, and what they say that they got."""

from __future__ import annotations

import asyncio
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from tests.support.stack import PATIENCE

__all__ = ["Got", "Load", "Target", "framed", "unframed"]

_FIELD = re.compile(rb"recv \(stream_id=(\d+)\) ([^ ]+): ([^\n]*)")


@dataclass(frozen=True, slots=True)
class Got:
    """One answer; trailers are among the headers."""

    status: int
    headers: dict[str, str]
    body: bytes
    version: str = "2"


@dataclass(frozen=True, slots=True)
class Load:
    """h2load's own count."""

    succeeded: int
    status_2xx: int
    failed: int
    protocol: str


@dataclass(frozen=True, slots=True)
class Target:
    """One server: ``https://localhost:1234`` with its CA, or clear text without."""

    url: str
    ca: Path | None = None

    async def curl(
        self, path: str, *options: str, headers: dict[str, str] | None = None, body: Path | None = None
    ) -> Got:
        """``-w`` tells the version that was spoken; ``-D`` the headers of the last answer."""
        trust = ["--cacert", str(self.ca)] if self.ca else []
        data = ["--data-binary", f"@{body}"] if body else []
        told = ["-w", "%{stderr}%{http_version}", "-D", "/dev/stderr", *trust, *_fields(headers), *data, *options]
        out, said = await _run("curl", "-sS", "--max-time", str(PATIENCE), *told, self.url + path)
        *lines, version = said.decode().splitlines()
        status = next(line for line in reversed(lines) if line.startswith("HTTP/")).split()[1]
        pairs = [line.partition(": ") for line in lines if ": " in line]
        return Got(int(status), {name.lower(): value for name, _, value in pairs}, out, version)

    async def nghttp(
        self, path: str, *options: str, headers: dict[str, str] | None = None, body: Path | None = None
    ) -> list[Got]:
        """Every answer, of one request or of as many as ``-m`` asked for; they must be equal."""
        data = ["-d", str(body)] if body else []
        # It looks at no certificate, and says so unless it is told that this is known.
        told = ["-y", *_fields(headers), *data, *options, self.url + path]
        verbose, _ = await _run("nghttp", "-v", "-n", *told)
        answers: dict[bytes, dict[str, str]] = {}
        for stream, name, value in _FIELD.findall(verbose):
            answers.setdefault(stream, {})[name.decode()] = value.decode().strip()
        bodies, _ = await _run("nghttp", *told)
        size = len(bodies) // max(1, len(answers))
        found = enumerate(answers.values())
        return [Got(int(a.pop(":status")), a, bodies[at * size : (at + 1) * size]) for at, a in found]

    async def h2load(
        self, path: str, *options: str, requests: int, headers: dict[str, str] | None = None, body: Path | None = None
    ) -> Load:
        data = ["-d", str(body)] if body else []
        said, _ = await _run("h2load", "-n", str(requests), *_fields(headers), *data, *options, self.url + path)
        text = said.decode()
        return Load(
            succeeded=_number(r"(\d+) succeeded", text),
            status_2xx=_number(r"(\d+) 2xx", text),
            failed=_number(r"(\d+) failed", text) + _number(r"(\d+) errored", text),
            protocol=(re.findall(r"Application protocol: (\S+)", text) or ["?"])[0],
        )


def framed(message: bytes) -> bytes:
    """A gRPC message as it stands in a body."""
    return b"\0" + struct.pack(">I", len(message)) + message


def unframed(body: bytes) -> bytes:
    """The only message of a body."""
    (size,) = struct.unpack_from(">I", body, 1)
    assert body[0] == 0
    assert len(body) == size + 5
    return body[5:]


def _fields(headers: dict[str, str] | None) -> list[str]:
    return [word for name, value in (headers or {}).items() for word in ("-H", f"{name}: {value}")]


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, text
    return int(found[1])


async def _run(*command: str) -> tuple[bytes, bytes]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{command} ended with {process.returncode}: {said.decode()} {out[-500:]!r}"
    return out, said

"""
The floor for REST: an aiohttp application on uvloop that parses the request's JSON and answers a constant.

Plain HTTP and no key: everything that Lockgate does besides is on Lockgate's account.
Run as ``python -m loadtests.bench.bare_http PORT``.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop
from aiohttp import web

__all__: list[str] = []

ANSWER: dict[str, Any] = {
    "model_name": "mlp",
    "model_version": "blue",
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 1], "data": [0.5]}],
}


async def answer(request: web.Request) -> web.Response:
    await request.json()
    return web.json_response(ANSWER)


async def serve(port: int) -> None:
    application = web.Application()
    application.router.add_post("/infer", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))

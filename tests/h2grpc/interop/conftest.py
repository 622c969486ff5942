"""Generated code of the tests' service, and the pairs of libraries that talk to each other."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType

import pytest
from grpc_tools import protoc  # type: ignore[import-untyped]  # has no stubs

from tests.h2grpc.interop.pair import PAIRS, Generated, Pair

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generated]:
    """Made where it is used, so that none of it can be out of date."""
    out = tmp_path_factory.mktemp("interop")
    arguments = ["protoc", f"-I{HERE}", f"--python_out={out}", f"--grpc_python_out={out}", str(HERE / "interop.proto")]
    assert protoc.main(arguments) == 0
    sys.path.insert(0, str(out))
    try:
        modules: list[ModuleType] = [importlib.import_module(name) for name in ("interop_pb2", "interop_pb2_grpc")]
    finally:
        sys.path.remove(str(out))
    yield Generated(*modules)
    for name in ("interop_pb2", "interop_pb2_grpc"):
        del sys.modules[name]


@pytest.fixture(params=PAIRS, ids=lambda names: f"{names[0]}-client-{names[1]}-server")
async def pair(request: pytest.FixtureRequest, generated: Generated, tmp_path: Path) -> AsyncIterator[Pair]:
    """One client and one server of two libraries over a Unix socket; nothing may be left when they are closed."""
    before = asyncio.all_tasks()
    client, server = request.param
    async with AsyncExitStack() as stack:
        yield await Pair.start(stack, generated, client, server, f"unix:{tmp_path}/socket")
    left = {task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not task.done()}

    if "grpcio" not in request.param:  # grpc.aio keeps a poller task as it likes
        assert not left

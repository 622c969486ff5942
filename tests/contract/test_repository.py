"""Loading and unloading models, as Triton's and KServe's clients ask for it, over both wires."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.control.change_errors import ChangeRefused
from gateway.control.source import ReadOnly, SourceUnavailable
from gateway.core.access import Caller
from gateway.core.errors import Forbidden, GatewayError, NotFound, NotReady, Unauthenticated
from tests.support.oip_edge import serving
from tests.support.oip_stack import KEY, OipStack

WIRES = pytest.mark.parametrize("wire", ["http", "grpc"])


@dataclass
class FakeRepository:
    """Implements ``Repository``; a name says how it fails."""

    done: list[tuple[str, str]] = field(default_factory=list)
    checked: list[tuple[str, str | None]] = field(default_factory=list)

    async def check(self, model: str, caller: Caller) -> None:
        self.checked.append((model, caller.credential))
        if model == "unknown-caller":
            raise Unauthenticated("expected a key")
        if model == "not-yours":
            raise Forbidden("the key does not hold the role deploy")

    async def load(self, model: str, caller: Caller) -> None:
        self._done("load", model)

    async def unload(self, model: str, caller: Caller) -> None:
        self._done("unload", model)

    def _done(self, verb: str, model: str) -> None:
        failures: dict[str, GatewayError] = {
            "nowhere": NotFound("no such endpoint"),
            "broken": ChangeRefused("no such column"),
            "declared": ReadOnly("change the ConfigMap"),
            "gone": SourceUnavailable("no answer"),
            "alone": NotReady("no answer"),
        }
        if model in failures:
            raise failures[model]
        self.done.append((verb, model))


def control(wire: str, method: str, *args: Any) -> dict[str, Any]:
    return {"do": "control", "wire": wire, "method": method, "args": args}


@WIRES
async def test_a_model_is_loaded_and_unloaded_in_the_name_of_the_caller(wire: str, tmp_path: Path) -> None:
    repository = FakeRepository()
    async with serving(tmp_path, stack=OipStack(repository=repository)) as edge:
        answers = await edge.triton(
            control(wire, "load_model", "matrix"),
            control(wire, "unload_model", "matrix"),
            control(wire, "get_server_metadata"),
        )

    assert answers[:2] == [None, None]
    assert repository.done == [("load", "matrix"), ("unload", "matrix")]
    assert repository.checked == [("matrix", KEY)] * 2
    assert "model_repository" in answers[2]["extensions"]


@WIRES
async def test_how_it_failed_is_told_with_its_own_status(wire: str, tmp_path: Path) -> None:
    names = ["unknown-caller", "not-yours", "nowhere", "broken", "declared", "gone", "alone"]
    async with serving(tmp_path, stack=OipStack(repository=FakeRepository())) as edge:
        answers = await edge.triton(*(control(wire, "load_model", name) for name in names))
    codes = {
        "http": ["401", "403", "404", "422", "405", "503", "503"],
        "grpc": [
            f"StatusCode.{name}"
            for name in (
                "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED",
                "UNAVAILABLE", "UNAVAILABLE",
            )
        ],
    }  # fmt: skip

    assert [answer["status"] for answer in answers] == codes[wire]
    assert answers[3]["error"] == "no such column"


@WIRES
async def test_a_model_that_is_sent_along_is_not_taken_for_loaded(wire: str, tmp_path: Path) -> None:
    repository = FakeRepository()
    async with serving(tmp_path, stack=OipStack(repository=repository)) as edge:
        (answer,) = await edge.triton({**control(wire, "load_model", "matrix"), "config": "{}"})

    assert 'parameter "config"' in answer["error"]
    assert (repository.done, repository.checked) == ([], [("matrix", KEY)])


@WIRES
async def test_a_gateway_without_a_supervisor_neither_does_nor_lists_it(wire: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        answers = await edge.triton(control(wire, "unload_model", "matrix"), control(wire, "get_server_metadata"))

    assert answers[0]["status"] == {"http": "501", "grpc": "StatusCode.UNIMPLEMENTED"}[wire]
    assert "model_repository" not in answers[1]["extensions"]


@WIRES
async def test_an_unloaded_model_is_unavailable_and_one_that_loads_is_loading(wire: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        (answer,) = await edge.triton(control(wire, "get_model_repository_index"))
    found = {
        each["name"]: (each["state"], each.get("reason", ""))
        for each in (answer["models"] if wire == "grpc" else answer)
    }

    assert (found["unloaded"], found["loading"]) == (("UNAVAILABLE", "unloaded"), ("LOADING", "still loading"))


@pytest.mark.parametrize("method", ["RepositoryModelLoad", "RepositoryModelUnload"])
async def test_kserves_form_of_the_call_is_understood_and_answered(method: str, tmp_path: Path) -> None:
    repository = FakeRepository()
    async with serving(tmp_path, stack=OipStack(repository=repository)) as edge:
        call: Any = edge.channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        # Its request and response: {string model_name = 1} and {string model_name = 1, bool isLoaded = 2}.
        answer = await call(b"\x0a\x06matrix", metadata=[("authorization", KEY)], timeout=10)

    assert answer == b"\x0a\x06matrix\x10\x01"
    assert [model for _, model in repository.done] == ["matrix"]


async def test_a_call_without_a_name_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, stack=OipStack(repository=FakeRepository())) as edge:
        call: Any = edge.channel.unary_unary("/inference.GRPCInferenceService/RepositoryModelLoad")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", timeout=10)

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT

"""The parts of a run, each with the servers that it compares; a part can be run alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from loadtests.bench import beside_triton, features_cost, h2load, overload, reload, shadow
from loadtests.bench.bare import bare_grpc, bare_http
from loadtests.bench.closed_loop import CONNECTIONS, Measurement, measure_in_turns
from loadtests.bench.connections import Held, held_by_connections
from loadtests.bench.floor import Floor
from loadtests.bench.idle import Added, Caller, HttpCaller, added_times, connected
from loadtests.bench.idle_grpc import GrpcCaller
from loadtests.bench.layout import Layout
from loadtests.bench.lockgate import Lockgate
from loadtests.bench.models import TUMOR, Folders, write_endpoint
from loadtests.bench.overload import Overload
from loadtests.bench.plumber import plumber
from loadtests.bench.reload_found import Reloaded
from loadtests.bench.shadow import Shadowed
from loadtests.bench.target import ON_ONE, Target
from loadtests.bench.triton import Triton

__all__ = ["PARTS", "Bench", "Found", "Options"]

PARTS = ("onnx", "triton", "r", "idle", "connections", "features", "overload", "shadow", "reload")


PROTOCOLS = {"REST": "http/1.1", "gRPC": "h2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much is measured."""

    repeats: int
    seconds: float
    """Of one closed-loop run, and of one step of the overload run."""
    idle_requests: int
    """Of each server for each of ``repeats``."""
    idle_connections: int
    changes: int
    """Of the served folder."""
    feast_python: str | None = None
    """An interpreter that has feast[redis], to be measured beside our own reading of features."""
    triton_python: str | None = None
    """An interpreter that has nvidia-pytriton and onnxruntime, to measure Triton."""


@dataclass(slots=True)
class Found:
    """What the parts found so far."""

    runs: list[Measurement] = field(default_factory=list)
    idle: list[Added] = field(default_factory=list)
    connections: list[Held] = field(default_factory=list)
    features: dict[str, float] = field(default_factory=dict)
    """CPU µs a row, by what was read and how."""
    overload: Overload | None = None
    shadow: list[Shadowed] = field(default_factory=list)
    reload: Reloaded | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """What every part is given; ``run`` runs one of ``PARTS``."""

    options: Options
    layout: Layout
    folders: Folders
    logs: Path
    found: Found

    def run(self, part: str) -> None:
        parts = {"onnx": self.onnx, "triton": self.triton, "r": self.r, "idle": self.idle, "features": self.features}
        parts |= {"connections": self.connections, "overload": self.overload, "shadow": self.shadow}
        parts["reload"] = self.reload
        parts[part]()

    def onnx(self) -> None:
        """The bare servers and the gateway in turn alone on the first core; the ONNX worker is on the load's."""
        layout, load = self.layout, self.layout.load
        with ExitStack() as stack:
            lockgate = Lockgate(stack, self.folders.serve_onnx, cores=layout.both, logs=self.logs)
            bare = bare_grpc(stack, layout, self.logs)
            self._in_turns([bare_http(stack, layout, self.logs), lockgate.rest_infer("rest", load)])
            self._in_turns([bare, lockgate.grpc_infer("grpc", load)])
            on_one = lockgate.grpc_infer(ON_ONE, load, generate=h2load.run_on_one)
            bare_on_one = replace(bare, group=ON_ONE, generate=h2load.run_on_one)
            self._in_turns([bare_on_one, on_one], connections=(16, 64))

    def triton(self) -> None:
        """Whole servers on one core: Triton, Lockgate with its ONNX workers, the floor; the same models and rows."""
        if self.options.triton_python is None:
            print("triton: skipped, as --triton names no interpreter that has it", file=sys.stderr)
            return
        with ExitStack() as stack:
            models = {"mlp": self.folders.mlp, "tumor": TUMOR / "model.onnx"}
            peer = Triton(stack, self.options.triton_python, models, self.layout, self.logs)
            core = self.layout.server
            lockgate = Lockgate(stack, self.folders.serve_two, cores=[core], logs=self.logs)
            floor = self._floor(stack, lockgate, worker_core=core)
            self.found.runs += beside_triton.run(
                lockgate, peer, floor, models, self.layout, repeats=self.options.repeats, seconds=self.options.seconds
            )

    def r(self) -> None:
        """The R process alone on the second core."""
        with ExitStack() as stack:
            lockgate = Lockgate(stack, self.folders.serve_r, cores=self.layout.both, logs=self.logs)
            for model in ("lm", "random-forest"):
                peer = plumber(stack, self.layout, self.logs, self.folders.models / model, model)
                self._in_turns([peer, lockgate.rest_score(model, model, self.layout.server)])

    def idle(self) -> None:
        """One request at a time, the servers in many short turns."""
        layout, load = self.layout, self.layout.load
        os.sched_setaffinity(0, {load})  # the clients are this process
        with ExitStack() as stack:
            lockgate = Lockgate(stack, self.folders.serve_onnx, cores=layout.both, logs=self.logs)
            floor = self._floor(stack, lockgate, worker_core=load)
            rest = [bare_http(stack, layout, self.logs), lockgate.rest_infer("rest", load)]
            grpc = [bare_grpc(stack, layout, self.logs), lockgate.grpc_infer("grpc", load)]
            grpc += [floor.grpc_infer("grpc", load)]
            callers: dict[tuple[str, str], Caller] = {}
            for wire, targets in (("REST", rest), ("gRPC", grpc)):
                for target in targets:
                    tls = None if target.server == "bare" else lockgate.tls(PROTOCOLS[wire])
                    channel = stack.enter_context(connected(target.request.url, tls))
                    made = HttpCaller if wire == "REST" else GrpcCaller
                    callers[target.server, wire] = made(channel, target.request)
            self.found.idle += added_times(callers, self.options.repeats * self.options.idle_requests)

    def connections(self) -> None:
        """Clients that have asked once and wait."""
        with ExitStack() as stack:
            lockgate = Lockgate(stack, self.folders.serve_onnx, cores=[self.layout.server], logs=self.logs)
            self.found.connections += held_by_connections(
                lockgate.port, lockgate.tls, lockgate.roles()["gateway"], connections=self.options.idle_connections
            )

    def features(self) -> None:
        """Rows of features out of the store and out of the local copy."""
        self.found.features = features_cost.run(self.layout.server, self.options.feast_python)

    def overload(self) -> None:
        """Open loop against one R worker."""
        with ExitStack() as stack:
            lockgate = Lockgate(stack, self.folders.serve_crowd, cores=self.layout.both, logs=self.logs)
            self.found.overload = overload.run(
                lockgate, self.layout, repeats=self.options.repeats, seconds=self.options.seconds
            )

    def shadow(self) -> None:
        """The primary beside the gateway, its shadow on the other core."""
        with ExitStack() as stack:
            lockgate = Lockgate(stack, self.folders.serve_shadow, cores=[self.layout.server], logs=self.logs)
            self.found.shadow = shadow.run(
                lockgate, self.layout, repeats=self.options.repeats, seconds=self.options.seconds
            )

    def reload(self) -> None:
        """Files changed under load."""
        endpoint = reload.Endpoint([str(self.folders.mlp), str(self.folders.other_mlp)])
        write_endpoint(self.folders.serve_reload, endpoint.now())
        with ExitStack() as stack:
            lockgate = Lockgate(stack, self.folders.serve_reload, cores=self.layout.both, logs=self.logs)
            self.found.reload = reload.run(
                lockgate,
                self.folders.serve_reload,
                endpoint,
                self.folders.models / "random-forest",
                self.layout,
                changes=self.options.changes,
                loads=20 * self.options.repeats,
                seconds=self.options.seconds,
            )

    def _floor(self, stack: ExitStack, lockgate: Lockgate, *, worker_core: int) -> Floor:
        """With the certificate and the key of ``lockgate``."""
        return Floor(
            stack,
            lockgate.state,
            self.folders.mlp,
            gateway_core=self.layout.server,
            worker_core=worker_core,
            logs=self.logs,
        )

    def _in_turns(self, targets: list[Target], connections: Sequence[int] = CONNECTIONS) -> None:
        self.found.runs += measure_in_turns(
            targets,
            cores=self.layout.both,
            repeats=self.options.repeats,
            seconds=self.options.seconds,
            connections=connections,
        )

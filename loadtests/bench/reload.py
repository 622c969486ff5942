"""
Changes of the served folder under load: whether a request is lost, how long they take, and who notices a model loading.

First many changes of one endpoint, one after the other: its weights, a limit of its batches, and a deployment replaced
by another model, which needs new workers. Then a new endpoint with a forest in R appears and goes, again and again, and
the time in which it loads is held against as much time before it. All the while requests come at a constant rate to the
endpoint that changes and to two that do not.

The gateway and the load generator share the first core; all workers, those that load too, and the supervisor have the
second, so a model that loads competes with those that score.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from loadtests.bench.cpu import Meter
from loadtests.bench.layout import Layout
from loadtests.bench.load import Request
from loadtests.bench.lockgate import Lockgate
from loadtests.bench.models import write_endpoint
from loadtests.bench.progress import EventLog, StatusPage, Taken
from loadtests.bench.quantile import quantile
from loadtests.bench.reload_found import Reloaded, Window, by_kind, disturbed
from loadtests.bench.requests import infer_json, infer_protobuf, rows_of
from loadtests.bench.steady import Sample, SteadyLoad, Stream
from loadtests.bench.steady_run import SteadyRun

__all__ = ["Endpoint", "kinds", "run"]

MIX = (("weights", 2), ("limits", 1), ("replaced", 1))
"""Kinds of changes, and how often each comes."""
RATE = 50.0
"""Requests a second of each stream."""
LONGEST = 900.0
"""Seconds of either half."""
LONGEST_LOAD = 60.0
"""Seconds."""
SETTLE = 1.0
"""Seconds of load before the first change and after the last."""


class Endpoint:
    """The endpoint that changes. Every change makes a file that no earlier one was, but for the last of its kind."""

    WEIGHTS = (50, 90, 100, 10, 0)

    def __init__(self, models: Sequence[str]) -> None:
        self._models = models
        self._done = Counter[str]()

    def now(self) -> Mapping[str, Any]:
        blue = self.WEIGHTS[self._done["weights"] % len(self.WEIGHTS)]
        replaced = self._done["replaced"]
        limits = {"workers": 1, "max_queue_rows": (4096, 2048)[self._done["limits"] % 2]}
        return {
            "name": "changing",
            "traffic": {"blue": blue, "green": 100 - blue},
            "deployments": {
                "blue": {"model": self._models[(replaced + 1) // 2 % 2], **limits},
                "green": {"model": self._models[replaced // 2 % 2], **limits},
            },
        }

    def change(self, kind: str) -> Mapping[str, Any]:
        self._done[kind] += 1
        return self.now()


def run(
    lockgate: Lockgate,
    folder: Path,
    endpoint: Endpoint,
    forest: Path,
    layout: Layout,
    *,
    changes: int,
    loads: int,
    seconds: float,
) -> Reloaded:
    """
    ``forest`` is the model that loads, ``seconds`` how long it is quiet before each load. Raises ``ServerFailed`` when
    a change is refused or not taken up.
    """
    streams = _streams(lockgate)
    load = SteadyLoad(streams=streams, ca_file=str(lockgate.ca_file), seconds=LONGEST)
    steady = SteadyRun(load, layout.server, layout.both)
    with closing(lockgate.status_page()) as page:
        with steady:
            taken = _many_changes(page, folder, endpoint, changes)
            during_changes = steady.stop()
        with steady:
            foreign: list[float] = []
            windows = []
            time.sleep(SETTLE)
            for number in range(loads):
                # Here, where no process comes or goes, it can be told what others used.
                meter = Meter({**lockgate.roles(), "load": [steady.pid]}, layout.both)
                start = time.monotonic()
                time.sleep(seconds)
                quiet = start, time.monotonic()
                foreign.append(meter.used().foreign)
                windows.append((quiet, _load(lockgate, page, folder, f"newcomer-{number}", forest)))
            during_loads = steady.stop()
    samples = [*during_changes, *during_loads]
    return Reloaded(
        changes=by_kind(taken, during_changes),
        requests=len(samples),
        failures=Counter(sample.failure for sample in samples if sample.failure),
        loads=loads,
        load_p50_s=quantile(sorted(end - start for _, (start, end) in windows), 0.5),
        disturbed=[disturbed(name, _of(name, streams, during_loads), windows) for name in ("mlp", "lm")],
        lag_p99_ms=quantile(sorted(sample.lag * 1000 for sample in samples), 0.99),
        foreign=median(foreign),
    )


def kinds(count: int) -> list[str]:
    """So many changes in the proportion of ``MIX``, in an order that is always the same and has no pattern."""
    bag = [kind for kind, share in MIX for _ in range(share)]
    found = (bag * (count // len(bag) + 1))[:count]
    random.Random(count).shuffle(found)
    return found


def _many_changes(page: StatusPage, folder: Path, endpoint: Endpoint, count: int) -> list[tuple[str, Taken]]:
    time.sleep(SETTLE)
    found = []
    for kind in kinds(count):
        one = page.follow(partial(write_endpoint, folder, endpoint.change(kind)))
        print(f"reload: {kind} after {one.running - one.written:.2f} s", file=sys.stderr)
        found.append((kind, one))
    time.sleep(SETTLE)
    return found


def _load(lockgate: Lockgate, page: StatusPage, folder: Path, name: str, forest: Path) -> Window:
    """
    An endpoint appears and goes; from writing its file to serving it. The server is not asked how far it is: its answer
    would be work on the cores on which it is measured what the loading does to others.
    """
    log = EventLog(lockgate.log, offset=time.time() - time.monotonic())
    written = time.monotonic()
    write_endpoint(folder, {"name": name, "deployments": {"blue": {"model": str(forest), "workers": 1}}})
    serves = log.wait_for("control.converged", LONGEST_LOAD)
    print(f"reload: a forest serves after {serves - written:.2f} s", file=sys.stderr)
    page.follow((folder / "endpoints" / f"{name}.yaml").unlink)
    return written, serves


def _of(endpoint: str, streams: Sequence[Stream], samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if streams[sample.stream].name == endpoint]


def _streams(lockgate: Lockgate) -> list[Stream]:
    """Two wires for the ONNX endpoints, REST for R."""
    row = rows_of("mlp")[0]
    found = [_stream("lm", lockgate.score_request("lm"), "http")]
    for name in ("mlp", "changing"):
        found.append(_stream(name, lockgate.rest_request(name, infer_json(row)), "http"))
        found.append(_stream(name, lockgate.grpc_request(infer_protobuf(name, row)), "grpc"))
    return found


def _stream(name: str, request: Request, wire: Any) -> Stream:
    return Stream(name=name, wire=wire, url=request.url, body=request.body, headers=dict(request.headers), rate=RATE)

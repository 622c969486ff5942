"""
A real R runtime in a process of its own: one process has one R, and R has one model.

``RProcess`` starts it with the stack limit that the group process would give it, and speaks to it in pickles.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from workers.environment import clean
from workers.options import GroupOptions
from workers.runtimes.base import Batch, Loaded, Result
from workers.schema import Schema

__all__ = ["RProcess", "columns_of", "encode", "read", "train"]

_SOURCE = Path(__file__).with_name("r_models.R")


def train(folder: Path) -> None:
    """One model of each class, its rows and what plain R answers, into ``folder``."""
    subprocess.run(["Rscript", str(_SOURCE), str(folder)], check=True, capture_output=True, timeout=300)


class RProcess:
    """The runtime of one model; use it as a context."""

    loads_before_fork = True

    def __init__(self, model: Path, **options: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lockgate-test-", ignore_cleanup_errors=True)
        environ = clean({**os.environ, "TMPDIR": self._folder.name}, 1)
        program = "import resource; resource.setrlimit(resource.RLIMIT_STACK, (2**26, resource.getrlimit(3)[1]));"
        program += "import os, sys; os.execv(sys.executable, [sys.executable, '-m', 'tests.support.r_process'])"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            cwd=Path(__file__).parents[2],
        )
        assert self._process.stdin
        assert self._process.stdout
        self._out = Connection(os.dup(self._process.stdin.fileno()), readable=False)
        self._in = Connection(os.dup(self._process.stdout.fileno()), writable=False)
        self._out.send(GroupOptions(model=str(model), workers=[], **options))

    def __enter__(self) -> RProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.close()
        self._process.kill()
        self._process.communicate()
        self._in.close()
        self._folder.cleanup()

    def load(self) -> Loaded:
        found: Loaded = self._ask("load")
        return found

    def score(self, batch: Batch) -> Result:
        result: Result = self._ask("score", batch)
        return result

    def rest(self) -> None:
        self._ask("rest")

    def interrupted(self, batch: Batch) -> Result:
        """Score while another thread asks it to stop, again and again until it does."""
        result: Result = self._ask("interrupted", batch)
        return result

    def call(self, name: str, *arguments: Any) -> Any:
        return self._ask(name, *arguments)

    def exit_status(self) -> int:
        return self._process.wait(timeout=60)

    def stderr(self) -> str:
        self._process.kill()
        return self._process.communicate()[1].decode()

    def _ask(self, name: str, *arguments: Any) -> Any:
        self._out.send((name, arguments))
        if not self._in.poll(60):
            raise TimeoutError(name)
        is_error, value = self._in.recv()
        if is_error:
            raise value
        return value


def encode(schema: Schema, columns: dict[str, list[Any]]) -> Batch:
    """A batch of these columns: levels by name, None where missing."""
    rows = len(columns[schema.inputs[0].name])
    records = np.zeros(rows, Schema.record(schema.inputs))
    texts = []
    for column in schema.inputs:
        values = columns[column.name]
        if column.is_text:
            texts.append(values)
        elif column.kind == "categorical":
            records[column.name] = [-1 if value is None else column.levels.index(value) for value in values]
        else:
            records[column.name] = [np.nan if value is None else value for value in values]
    return Batch(rows, records.tobytes(), texts)


def columns_of(schema: Schema, result: Result) -> dict[str, list[Any]]:
    """The outputs by name, levels as texts."""
    records = np.frombuffer(result.records, Schema.record(schema.outputs))
    texts = iter(result.texts)
    found: dict[str, list[Any]] = {}
    for column in schema.outputs:
        if column.is_text:
            found[column.name] = list(next(texts))
        elif column.kind == "categorical":
            found[column.name] = [column.levels[code] if code >= 0 else None for code in records[column.name]]
        else:
            found[column.name] = records[column.name].tolist()
    return found


def read(folder: Path, name: str) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """The rows of a trained model, and what plain R answered."""
    rows, expected = (
        json.loads((folder / f"{name}.{part}.json").read_text(encoding="utf-8")) for part in ("rows", "expected")
    )
    return _exact(rows), _exact(expected)


def _exact(columns: dict[str, dict[str, list[Any]]]) -> dict[str, list[Any]]:
    return {
        name: [float.fromhex(value) for value in column["hex"]] if "hex" in column else column["text"]
        for name, column in columns.items()
    }


def _main() -> None:
    inward, outward = Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False)
    os.dup2(2, 1)
    from workers.loader import open_runtime
    from workers.runtimes.r import RRuntime

    runtime = open_runtime(inward.recv())
    assert isinstance(runtime, RRuntime)

    def interrupted(batch: Batch) -> Result:
        done = threading.Event()

        def insist() -> None:
            while not done.wait(0.01):
                runtime.interrupt()

        thread = threading.Thread(target=insist)
        thread.start()
        try:
            return runtime.score(batch)
        finally:
            done.set()
            thread.join()

    def r(source: str) -> Any:
        return runtime._r.to_python(runtime._r.evaluate(source))

    while True:
        try:
            name, arguments = inward.recv()
        except EOFError:
            os._exit(0)
        try:
            found = {"interrupted": interrupted, "r": r}.get(name) or getattr(runtime, name)
            value = found(*arguments) if callable(found) else found
        except Exception as error:  # noqa: BLE001  # whatever it is, the test in the other process decides
            outward.send((True, error))
        else:
            outward.send((False, value))


if __name__ == "__main__":
    _main()

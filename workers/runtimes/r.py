"""
R models: anything with a ``predict`` method, MLflow crates and ``score.R``, scored by R inside this process.

The model is loaded once, in the parent of all workers, and shared by the fork. A batch costs one call into R: the
records become a data.frame (``r_frames``), one closure that was built at load for this class of model answers it
(``r_predict.R``), and its columns are copied out. Loading a model runs code: serve only what you trust.

Full garbage collections take 100 ms and more once a large package is loaded, and R starts one at every 126th
collection. ``r_guard.R`` counts them; from ``DUE`` on ``is_due`` is true, and ``rest`` walks the rest of the way.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from workers.mlmodel import read_mlmodel
from workers.options import GroupOptions
from workers.runtimes.base import (
    Batch,
    BatchInvalid,
    Loaded,
    LoadError,
    ModelError,
    ModelTimeout,
    Result,
    Runtime,
    Warned,
)
from workers.runtimes.r_embedded import EmbeddedR
from workers.runtimes.r_frames import FrameBuilder, ResultReader
from workers.runtimes.r_sample import made_up_rows
from workers.runtimes.r_schema import Known, KnownColumn, Returned, RInput, inputs_of, outputs_of
from workers.runtimes.r_script import TEXT_INPUT, TEXT_OUTPUT, text_examples
from workers.sample import example_batch, refusal
from workers.schema import Schema
from workers.signature_file import SignatureFile, find_signature, read_signature

__all__ = ["DUE", "RRuntime"]

DUE = 100
"""Collections after which a rest is due; at 126 R takes the full one by itself. A fifth is left to find a turn in."""

_PROBED = 3
"""Rows that show which columns a model returns."""
_FAILED, _INTERRUPTED = 1, 2
"""How the closure of ``r_guard.R`` says that there is no answer."""
_NEVER_INTERRUPTED = frozenset({"ranger"})
"""
Packages whose own code does not survive an interrupt. ranger (0.14) goes on with the trees that it has not asked yet,
and reads behind their answers.
"""


class RRuntime(Runtime):
    """One R model. A process has one R, so it can load one of these."""

    loads_before_fork: ClassVar[bool] = True

    _r: EmbeddedR
    _closure: int
    _builder: FrameBuilder
    _reader: ResultReader

    def __init__(self, group: GroupOptions) -> None:
        self._group = group
        self._collections = 0
        self._lock = threading.Lock()
        """Held to set or clear R's interrupt flag, so that it never outlives the batch that it was meant for."""
        self._is_running = False
        self._is_interrupted = False
        self._may_interrupt = True

    def load(self) -> Loaded:
        path = Path(self._group.model).resolve()
        name = str(self._group.model)
        signature = _signature(path)
        self._r = r = EmbeddedR(self._group.min_vsize_mb)
        try:
            recipe = self._recipe(path)
        except LoadError as error:
            raise LoadError(f"{name}: {error}") from error
        facts = r.to_python(recipe)
        is_text = facts.get("convention") == ["json"]
        if is_text:  # the convention is the signature
            example, signature = text_examples(signature, name), None
        else:
            example = signature.example if signature else ()
        inputs = inputs_of(TEXT_INPUT if is_text else _known(facts), signature, name)
        self._builder = FrameBuilder(r.api, r.preserved, inputs)
        self._closure = r.keep(r.call("guard", facts["predict"]))
        returned, warned = (TEXT_OUTPUT, ()) if is_text else self._probe(inputs, example, name)
        outputs = outputs_of(returned, signature, name)
        self._reader = ResultReader(r.api, outputs)
        self._may_interrupt = _NEVER_INTERRUPTED.isdisjoint(r.to_python(r.evaluate("loadedNamespaces()")))
        return Loaded(
            schema=Schema(
                inputs=tuple(given.column for given in inputs),
                outputs=tuple(output.column for output in outputs),
                example=example or (() if is_text else made_up_rows(inputs, 1)),
            ),
            platform="r",
            runtime=f"R {r.version}",
            max_rows=1 if is_text else 0,
            has_made_up_example=not (example or is_text),
            may_make_up=not is_text,
            properties={"class": " ".join(facts.get("class") or ["score.R"])},
            warnings=warned,
        )

    def score(self, batch: Batch) -> Result:
        api = self._r.api
        frame = self._builder.build(batch)
        call = api.protect(api.lang2(self._closure, frame))
        with self._lock:
            self._is_running, self._is_interrupted = True, False
            api.interrupts_pending.value = 0
        answer = api.protect(api.try_eval(call) or api.nil)
        with self._lock:
            self._is_running, was_interrupted = False, self._is_interrupted
            api.interrupts_pending.value = 0
        try:
            if was_interrupted:  # whatever it answers: a package may have gone on with what it had by then
                raise ModelTimeout("interrupted")
            value, warned = self._answered(answer)
            result = self._reader.read(value, batch.rows)
            result.warnings = warned
            return result
        finally:
            api.unprotect(3)

    def _answered(self, answer: int) -> tuple[int, Sequence[Warned]]:
        """The columns, and what the model warned of. Raises ``ModelError`` and ``ModelTimeout``."""
        api = self._r.api
        if answer == api.nil:  # stopped outside of our handlers
            raise ModelError("R gave up the call")
        self._collections = api.as_integer(api.vector_elt(answer, 3))
        status, value = api.as_integer(api.vector_elt(answer, 0)), api.vector_elt(answer, 1)
        if status == _INTERRUPTED:
            raise ModelTimeout("interrupted")
        warnings = api.vector_elt(answer, 2)
        warned = _warned(api.strings(warnings)) if api.length(warnings) else ()
        if status == _FAILED:
            message, kind = api.strings(value)
            raise ModelError((message or "").strip()[:2000], kind or "error", warned)
        return value, warned

    def forked(self) -> None:
        self._r.seed(int.from_bytes(os.urandom(4)) >> 1)
        self._r.use_tempdir(os.environ.get("TMPDIR") or tempfile.gettempdir())

    def interrupt(self) -> None:
        with self._lock:
            if self._is_running and self._may_interrupt:
                self._is_interrupted = True
                self._r.api.interrupts_pending.value = 1

    @property
    def is_due(self) -> bool:
        return self._collections >= DUE

    def rest(self) -> None:
        self._r.evaluate("step_to_full()", self._r.namespace)
        self._collections = 0

    def _recipe(self, path: Path) -> Any:
        """What ``r_predict.R`` makes of the model."""
        r = self._r
        if path.is_file():
            return self._of_rds(path)
        if (path / "MLmodel").is_file():
            return r.call("crate_recipe", str(read_mlmodel(path / "MLmodel").model))
        files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".rds")
        if (path / "score.R").is_file():
            return r.call("script_recipe", str(path), str(files[0]) if files else "")
        if len(files) != 1:
            found = ", ".join(file.name for file in files) or "none"
            raise LoadError(f"expected one .rds file or a score.R, found {found}")
        return self._of_rds(files[0])

    def _of_rds(self, path: Path) -> Any:
        return self._r.call("rds_recipe", str(path))

    def _probe(
        self, inputs: Sequence[RInput], example: Sequence[Sequence[Any]], name: str
    ) -> tuple[tuple[Returned, ...], Sequence[Warned]]:
        """What the model returns for sample rows, and warns of. Raises ``LoadError``."""
        api = self._r.api
        rows = example or made_up_rows(inputs, _PROBED)
        batch = example_batch([given.column for given in inputs], rows, _PROBED)
        try:
            frame = self._builder.build(batch)
            call = api.protect(api.lang2(self._closure, frame))
            answer = api.protect(api.try_eval(call) or api.nil)
            try:
                value, warned = self._answered(answer)
                return self._described(value, name), warned
            finally:
                api.unprotect(3)
        except (BatchInvalid, ModelError, ModelTimeout) as error:
            raise refusal(name, _PROBED, error, is_made_up=not example) from error

    def _described(self, value: int, name: str) -> tuple[Returned, ...]:
        try:
            return ResultReader.describe(self._r.api, value, _PROBED)
        except ModelError as error:
            raise LoadError(f"{name}: {error}") from error


def _signature(path: Path) -> SignatureFile | None:
    found = find_signature(path)
    if found is not None:
        return read_signature(found)
    if (path / "MLmodel").is_file():
        logged = read_mlmodel(path / "MLmodel")
        if logged.inputs:
            return SignatureFile(inputs=logged.inputs, outputs=logged.outputs)
    return None


def _warned(told: Sequence[str | None]) -> list[Warned]:
    """Messages and classes, which ``r_guard.R`` gives in turn."""
    return [((text or "").strip()[:500], (kind or "")[:100]) for text, kind in zip(told[::2], told[1::2], strict=True)]


def _known(facts: dict[str, Any]) -> Known:
    """The recipe's words in ours."""
    columns, names, count = facts.get("inputs"), facts.get("names"), facts.get("count")
    return Known(
        columns=None if columns is None else tuple(_column(column) for column in columns),
        names=None if names is None else tuple(names),
        count=None if count is None else int(count[0]),
        is_numeric=bool((facts.get("numeric") or [False])[0]),
    )


def _column(facts: dict[str, Any]) -> KnownColumn:
    return KnownColumn(
        name=facts["name"][0],
        kind=facts["kind"][0],
        levels=tuple(facts["levels"]),
        is_ordered=bool(facts["ordered"][0]),
        nullable=bool(facts["nullable"][0]),
        typical=None if facts["typical"] is None else float(facts["typical"][0]),
    )

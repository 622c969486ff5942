"""What a model may do to a worker, and what the worker makes of it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.r_process import RProcess, columns_of, encode
from tests.support.samples import EXAMPLES
from workers.lifecycle import Exit
from workers.runtimes.base import Batch, BatchInvalid, LoadError, ModelError, ModelTimeout

pytestmark = pytest.mark.r

SCRIPT = """
drift <- structure(class = c("drift", "warning", "condition"), list(message = "it drifts", call = NULL))
wordless <- structure(class = c("wordless", "warning", "condition"), list(call = NULL))
predict_rows <- function(model, rows) {
  x <- rows$x
  what <- as.character(rows$what)[[1]]
  switch(what,
    fine = x * 2,
    hang = repeat {},
    catch = tryCatch(repeat {}, interrupt = function(e) x),
    fail = stop(structure(class = c("too_cold", "error", "condition"), list(message = "below zero", call = NULL))),
    warn = { warning("odd"); warning("odd"); warning("odder"); x },
    classed = { for (i in 1:2) warning(drift); warning("it drifts"); warning(wordless); x },
    many = { for (i in 1:100) warning("number ", i); x },
    warn_and_fail = { warning("not yet"); stop("too late") },
    short = x[-1],
    other_name = list(other = x),
    other_type = list(prediction = rep("text", length(x))),
    deep = { options(expressions = 5e5); f <- function(n) lapply(n, f); f(0) },
    print = { print("hello from R"); cat("cat\\n"); message("message"); x },
    crash = { tools::pskill(Sys.getpid(), signal); x },
    quit = quit(status = x),
    ask = { readline("name? "); x },
    missing = as.numeric(is.na(x)),
    kinds = as.numeric(is.na(rows$what)) + length(levels(rows$what)) + is.logical(rows$flag) + is.integer(rows$count) +
      is.character(rows$note) + is.na(rows$note) * 100 + nchar(ifelse(is.na(rows$note), "", rows$note)) * 1000
  )
}
"""
WHAT = [
    "fine", "hang", "fail", "warn", "short", "other_name", "other_type", "deep", "print", "crash", "quit", "ask",
    "missing", "kinds", "catch", "classed", "many", "warn_and_fail",
]  # fmt: skip
SIGNATURE = {
    "inputs": [
        {"name": "x", "type": "float", "nullable": True},
        {"name": "what", "type": "categorical", "levels": WHAT},
        {"name": "flag", "type": "boolean"},
        {"name": "count", "type": "integer"},
        {"name": "note", "type": "string"},
    ]
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("script")
    (folder / "score.R").write_text(SCRIPT)
    (folder / "signature.json").write_text(json.dumps(SIGNATURE))
    return folder


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[RProcess]:
    with RProcess(folder) as r:
        r.load()
        yield r


def rows(what: str, *values: float | None, note: str | None = "") -> Batch:
    records = np.zeros(len(values), [("x", "<f8"), ("what", "<i4"), ("flag", "?"), ("count", "<i4")])
    records["x"] = [np.nan if value is None else value for value in values]
    records["what"] = WHAT.index(what)
    return Batch(len(values), records.tobytes(), [[note] * len(values)])


def answer(result: Any) -> list[float]:
    return list(np.frombuffer(result.records, "<f8"))


def test_a_script_answers_row_by_row(shared: RProcess) -> None:
    assert answer(shared.score(rows("fine", 1.0, 2.5))) == [2.0, 5.0]


def test_a_missing_integer_is_missing_also_where_r_is_given_a_double(tmp_path: Path) -> None:
    (tmp_path / "score.R").write_text("predict_rows <- function(model, rows) as.numeric(is.na(rows$n))")
    wide = {"inputs": [{"name": "n", "type": "integer", "datatype": "INT64", "nullable": True}]}
    (tmp_path / "signature.json").write_text(json.dumps(wide))
    with RProcess(tmp_path) as r:
        r.load()

        assert answer(r.score(Batch(3, np.array([7, -(2**31), 2**40], "<i8").tobytes()))) == [0.0, 1.0, 0.0]


def test_an_integer_that_has_no_missing_value_is_not_nullable(tmp_path: Path) -> None:
    (tmp_path / "score.R").write_text("predict_rows <- function(model, rows) as.numeric(rows$n)")
    short = {"inputs": [{"name": "n", "type": "integer", "datatype": "INT16", "nullable": True}]}
    (tmp_path / "signature.json").write_text(json.dumps(short))
    with RProcess(tmp_path) as r, pytest.raises(LoadError, match="INT16 has no missing value; expected INT32 or INT64"):
        r.load()


def test_an_endless_loop_stops_when_interrupted_and_the_next_batch_is_fine(shared: RProcess) -> None:
    with pytest.raises(ModelTimeout):
        shared.interrupted(rows("hang", 1.0))

    assert answer(shared.score(rows("fine", 1.0))) == [2.0]


def test_what_a_model_answers_after_an_interrupt_is_not_taken_for_its_answer(shared: RProcess) -> None:
    with pytest.raises(ModelTimeout):
        shared.interrupted(rows("catch", 1.0))


def test_ranger_is_not_interrupted_because_it_would_crash() -> None:
    with RProcess(EXAMPLES / "models" / "diamonds-ranger") as r:
        schema = r.load().schema
        stones = {column.name: [value] * 600 for column, value in zip(schema.inputs, schema.example[0], strict=True)}
        batch = encode(schema, stones)
        right = r.score(batch)

        assert r.interrupted(batch) == right


def test_an_interrupt_between_batches_hits_nobody(shared: RProcess) -> None:
    shared.call("interrupt")

    assert answer(shared.score(rows("fine", 1.0))) == [2.0]


def test_an_error_carries_its_message_and_its_class(shared: RProcess) -> None:
    with pytest.raises(ModelError, match=r"^below zero$") as caught:
        shared.score(rows("fail", 1.0))

    assert caught.value.kind == "too_cold"


def test_warnings_are_told_once_each_and_do_not_stop_the_model(shared: RProcess) -> None:
    result = shared.score(rows("warn", 7.0))

    assert result.warnings == [("odd", "simpleWarning"), ("odder", "simpleWarning")]
    assert answer(result) == [7.0]


def test_warnings_of_one_batch_are_not_told_again_in_the_next(shared: RProcess) -> None:
    shared.score(rows("warn", 7.0))

    assert list(shared.score(rows("fine", 7.0)).warnings) == []


def test_a_warning_of_a_class_of_its_own_is_told_with_that_class(shared: RProcess) -> None:
    result = shared.score(rows("classed", 7.0))

    assert result.warnings == [("it drifts", "drift"), ("it drifts", "simpleWarning"), ("", "wordless")]
    assert answer(result) == [7.0]


def test_one_batch_tells_a_few_warnings_at_most(shared: RProcess) -> None:
    warnings = shared.score(rows("many", 7.0)).warnings

    assert warnings == [(f"number {i}", "simpleWarning") for i in range(1, 9)]


def test_what_was_warned_of_before_an_error_comes_with_the_error(shared: RProcess) -> None:
    with pytest.raises(ModelError, match=r"^too late$") as caught:
        shared.score(rows("warn_and_fail", 1.0))

    assert caught.value.warnings == [("not yet", "simpleWarning")]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("short", '2 values of "prediction" for 3 rows'),
        ("other_name", 'returned the columns "other"; expected "prediction"'),
        ("other_type", 'no numbers in "prediction"'),
    ],
)
def test_an_answer_of_another_form_is_an_error_not_a_guess(shared: RProcess, what: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        shared.score(rows(what, 1.0, 2.0, 3.0))


def test_deep_recursion_is_an_ordinary_error(shared: RProcess) -> None:
    with pytest.raises(ModelError, match=r"stack"):
        shared.score(rows("deep", 1.0))

    assert answer(shared.score(rows("fine", 1.0))) == [2.0]


def test_what_a_model_prints_does_not_reach_standard_output(shared: RProcess) -> None:
    assert answer(shared.score(rows("print", 1.0))) == [1.0]


def test_a_model_that_asks_a_question_gets_no_answer_and_does_not_wait(shared: RProcess) -> None:
    assert answer(shared.score(rows("ask", 1.0))) == [1.0]


def test_a_missing_number_is_missing_in_r(shared: RProcess) -> None:
    assert answer(shared.score(rows("missing", None, 1.0))) == [1.0, 0.0]


@pytest.mark.parametrize(("note", "extra"), [(None, 100.0), ("Zürich", 6000.0)])
def test_every_kind_of_column_arrives_as_r_knows_it(shared: RProcess, note: str | None, extra: float) -> None:
    kinds = len(WHAT) + 3  # the levels, and one for each of logical, integer and character

    assert answer(shared.score(rows("kinds", 1.0, note=note))) == [kinds + extra]


def test_a_text_with_nul_is_refused_before_r_sees_it(shared: RProcess) -> None:
    with pytest.raises(BatchInvalid, match="NUL"):
        shared.score(rows("fine", 1.0, note="a\0b"))


def test_a_level_that_does_not_exist_is_refused_before_r_sees_it(shared: RProcess) -> None:
    batch = rows("fine", 1.0)
    records = np.frombuffer(batch.records, [("x", "<f8"), ("what", "<i4"), ("flag", "?"), ("count", "<i4")]).copy()
    records["what"] = len(WHAT)

    with pytest.raises(BatchInvalid, match=f'column "what" has {len(WHAT)} levels'):
        shared.score(Batch(1, records.tobytes(), batch.texts))


@pytest.mark.parametrize("batch", [Batch(0, b"", [[]]), Batch(2, b"x", [["", ""]]), Batch(2**24, b"", [[]])])
def test_a_batch_of_the_wrong_size_is_refused_before_r_sees_it(shared: RProcess, batch: Batch) -> None:
    with pytest.raises(BatchInvalid):
        shared.score(batch)


def test_a_missing_text_column_is_refused_before_r_sees_it(shared: RProcess) -> None:
    batch = rows("fine", 1.0)

    with pytest.raises(BatchInvalid, match="1 text columns"):
        shared.score(Batch(1, batch.records, []))


def test_collections_are_counted_and_a_rest_takes_the_full_one(shared: RProcess) -> None:
    shared.call("rest")
    before = shared.call("is_due")
    shared.call("r", "for (i in 1:105) gc(full = FALSE)")
    shared.score(rows("fine", 1.0))
    due = shared.call("is_due")
    shared.call("rest")

    assert (before, due, shared.call("is_due")) == (False, True, False)


def test_counting_survives_finalizers_of_the_model(shared: RProcess) -> None:
    shared.call("rest")
    for _ in range(110):
        shared.call("r", "{ for (i in 1:3) reg.finalizer(new.env(), function(e) NULL); gc(full = FALSE); NULL }")
        shared.score(rows("fine", 1.0))

    assert shared.call("is_due")


def test_a_rest_ends_with_a_full_collection(shared: RProcess) -> None:
    shared.call("r", "{ old <- new.env(); dead <- FALSE; reg.finalizer(old, function(e) dead <<- TRUE); NULL }")
    for _ in range(3):
        shared.call("r", "{ gc(full = TRUE); NULL }")
    shared.call("r", "{ rm(old); NULL }")
    shared.call("rest")

    assert shared.call("r", "dead") == [True]


def test_forked_gives_another_seed_and_another_tempdir(shared: RProcess) -> None:
    shared.call("r", "{ set.seed(1); NULL }")
    before = shared.call("r", "c(tempdir(), runif(1))")
    shared.call("r", "{ set.seed(1); NULL }")
    shared.call("forked")
    after = shared.call("r", "c(tempdir(), runif(1))")

    assert before[0] != after[0]
    assert before[1] != after[1]
    assert shared.call("r", "dir.exists(tempdir())") == [True]


@pytest.mark.parametrize("status", [3, *Exit])
def test_quit_ends_the_process_at_once_and_with_no_status_that_means_something_here(folder: Path, status: int) -> None:
    with RProcess(folder) as r:
        r.load()
        with pytest.raises((EOFError, ConnectionResetError)):
            r.score(rows("quit", float(status)))

        assert r.exit_status() == 1


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_real_crash_ends_the_process_with_its_signal(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "score.R").write_text(SCRIPT.replace("signal)", f"{int(number)}L)"))
    (tmp_path / "signature.json").write_text(json.dumps(SIGNATURE))
    with RProcess(tmp_path) as r:
        r.load()
        with pytest.raises((EOFError, ConnectionResetError)):
            r.score(rows("crash", 1.0))

        assert r.exit_status() == -number


def test_rpart_scores_missing_values_and_says_so(models: Path) -> None:
    with RProcess(models / "rpart_value.rds") as r:
        schema = r.load().schema
        result = r.score(encode(schema, {"wt": [None, 2.0], "gear": [None, "4"], "vs": ["V", None]}))

    assert [column.nullable for column in schema.inputs] == [True, True, True]
    assert all(value == value for value in columns_of(schema, result)["prediction"])  # noqa: PLR0124


def test_lm_does_not_take_missing_values_and_says_so(models: Path) -> None:
    with RProcess(models / "lm.rds") as r:
        schema = r.load().schema

    assert not any(column.nullable for column in schema.inputs)

"""``score.R`` in Azure ML's words through the real program: what it is tried with, what it answers and what it logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.https import Https
from tests.support.rough import Rough
from tests.support.stack import Stack, run_lockgate, serving

pytestmark = pytest.mark.r

SCRIPT = """
init <- function() {
  function(data) {
    x <- jsonlite::fromJSON(data)$x
    if (any(x < 0)) {
      warning(structure(class = c("below_zero", "warning", "condition"), list(message = "a cold day", call = NULL)))
    }
    jsonlite::toJSON(2 * x)
  }
}
"""
GOOD, WRONG = {"x": [1, 2.5]}, {"x": ["one"]}


def script(root: Rough, endpoint: str, example: Any = None) -> None:
    folder = root.root / "models" / endpoint
    folder.mkdir(parents=True)
    (folder / "score.R").write_text(SCRIPT)
    if example is not None:
        signature = {"inputs": [{"name": "data", "type": "string"}], "example": [[example]]}
        (folder / "signature.json").write_text(json.dumps(signature))
    root.endpoint(endpoint, folder)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Endpoints ``plain``, of the script alone, and ``shown``, with an example."""
    folder = Rough(tmp_path_factory.mktemp("text") / "served")
    script(folder, "plain")
    script(folder, "shown", GOOD)
    with serving(folder.root, tmp_path_factory.mktemp("state")) as stack:
        yield stack


def test_check_takes_a_script_with_and_without_an_example_and_tells_what_is_wrong_with_one(tmp_path: Path) -> None:
    folder = Rough(tmp_path / "served")
    script(folder, "plain")
    script(folder, "shown", GOOD)
    right = run_lockgate("check", str(folder.root))
    script(folder, "wrong", WRONG)
    wrong = run_lockgate("check", str(folder.root))

    assert right.returncode == 0, right.stdout
    assert '{"result": "[2,5]"}' in right.stdout
    assert "none: no example" in next(line for line in right.stdout.splitlines() if "plain" in line)
    assert wrong.returncode == 1
    assert "the example cannot be scored (1 rows at once): non-numeric argument to binary operator" in wrong.stdout


@pytest.mark.parametrize("endpoint", ["plain", "shown"])
def test_a_script_that_takes_no_empty_request_is_served(stack: Stack, endpoint: str) -> None:
    with Https(stack) as https:
        reply = https.post(f"/api/v1/endpoint/{endpoint}/score", GOOD)

    assert (reply.status, reply.json) == (200, [2, 5])


@pytest.mark.parametrize(("endpoint", "shown"), [("plain", {}), ("shown", {"example": GOOD})])
def test_the_document_shows_the_request_that_was_given_and_none_that_was_made_up(
    stack: Stack, endpoint: str, shown: dict[str, Any]
) -> None:
    with Https(stack) as https:
        document = https.ask("GET", f"/api/v1/endpoint/{endpoint}/swagger.json?version=3").json

    assert document["components"]["schemas"]["ServiceInput"] == shown


def test_a_warning_is_in_the_log_once_with_deployment_message_and_class(stack: Stack) -> None:
    since = stack.mark()
    with Https(stack) as https:
        answers = [https.post("/api/v1/endpoint/plain/score", {"x": [-1]}).json for _ in range(5)]
    event = stack.event("worker.model_warned", since)

    assert answers == [[-2]] * 5
    assert {name: event[name] for name in ("level", "deployment", "worker", "message", "class")} == {
        "level": "warning",
        "deployment": "plain/blue",
        "worker": "plain/blue/0",
        "message": "a cold day",
        "class": "below_zero",
    }
    assert [e["event"] for e in stack.events[since:]].count("worker.model_warned") == 1


def test_invoke_sends_the_example_that_was_given_and_says_where_none_was(stack: Stack) -> None:
    options = ("--example", "--state-dir", str(stack.state), "--port", str(stack.http_port))
    shown, plain = (run_lockgate("invoke", endpoint, *options) for endpoint in ("shown", "plain"))

    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout) == [2, 5]
    assert plain.returncode != 0
    assert '--example: "plain" has none; expected a request by --data' in plain.stderr


def test_invoke_does_so_over_grpc_too(stack: Stack) -> None:
    options = ("--example", "--protocol", "grpc", "--state-dir", str(stack.state), "--port", str(stack.grpc_port))
    shown, plain = (run_lockgate("invoke", endpoint, *options) for endpoint in ("shown", "plain"))

    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout) == [{"result": "[2,5]"}]
    assert plain.returncode == 2
    assert '--example: "plain" has none; expected a request by --data' in plain.stderr


def test_the_commands_that_are_printed_send_what_the_script_takes(stack: Stack) -> None:
    printed = "\n".join(stack.lines)
    plain, _, shown = printed[printed.index("Try plain") :].partition("Try shown")

    assert "curl" not in plain
    assert f"--data-raw '{json.dumps(GOOD)}'" in shown

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from gateway.telemetry.logs import configure_logs, redact


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


def test_an_event_is_one_line_of_json_with_level_and_time() -> None:
    stream = io.StringIO()
    configure_logs("info", stream)
    structlog.get_logger().warning("pool.worker_lost", worker="a/0")
    event = json.loads(stream.getvalue())

    assert (event["event"], event["level"], event["worker"]) == ("pool.worker_lost", "warning", "a/0")
    assert event["timestamp"].endswith("Z")


def test_what_is_below_the_level_is_not_written() -> None:
    stream = io.StringIO()
    configure_logs("warning", stream)
    structlog.get_logger().info("quiet")

    assert stream.getvalue() == ""


def test_a_traceback_stays_on_the_line_and_shows_no_variables() -> None:
    stream = io.StringIO()
    configure_logs("info", stream)
    value = "feature value"
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        structlog.get_logger().exception("crashed")

    assert "RuntimeError: broken" in json.loads(stream.getvalue())["exception"]
    assert value not in stream.getvalue()


def test_libraries_that_use_logging_come_out_in_the_same_form() -> None:
    stream = io.StringIO()
    configure_logs("info", stream)
    logging.getLogger("aiohttp.server").error("bad %s", "thing", extra={"token": "lg_secret"})
    event = json.loads(stream.getvalue())

    assert (event["event"], event["logger"]) == ("bad thing", "aiohttp.server")


def test_a_terminal_gets_lines_for_people() -> None:
    stream = io.StringIO()
    configure_logs("info", stream, is_terminal=True)
    structlog.get_logger().info("gateway.ready", port=8443)

    assert "gateway.ready" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize("name", ["authorization", "Authorization", "api_key", "token", "x-ms-token", "keys", "secret"])
def test_a_secret_is_blanked_out_by_its_name(name: str) -> None:
    assert redact(None, "", {name: "lg_secret"}) == {name: "[redacted]"}


def test_a_secret_is_blanked_out_at_any_depth() -> None:
    event = {"request": {"headers": [{"Authorization": "Bearer x"}], "n": 1}}

    assert redact(None, "", event) == {"request": {"headers": [{"Authorization": "[redacted]"}], "n": 1}}


@pytest.mark.parametrize("name", ["endpoint", "keyboard", "tokens_per_second", "monkey"])
def test_other_names_are_left_alone(name: str) -> None:
    assert redact(None, "", {name: "value"}) == {name: "value"}


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("secret", [f"lg_{'k' * 43}", "eyJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJhIn0.c2lnbmF0dXJl"])
def test_what_looks_like_a_credential_is_blanked_out_wherever_it_stands(secret: str, *, is_terminal: bool) -> None:
    stream = io.StringIO()
    configure_logs("info", stream, is_terminal=is_terminal)
    try:
        raise RuntimeError(f"cannot use {secret!r}")
    except RuntimeError:
        structlog.get_logger().exception("crashed", path=f"/v2/models/{secret}/infer", note=[secret])
    logging.getLogger("library").error("refused %s", secret)

    assert secret not in stream.getvalue()
    assert stream.getvalue().count("[redacted]") == 4


def test_a_short_word_that_only_begins_like_a_key_stays() -> None:
    stream = io.StringIO()
    configure_logs("info", stream)
    structlog.get_logger().info("started", endpoint="lg_model")

    assert json.loads(stream.getvalue())["endpoint"] == "lg_model"

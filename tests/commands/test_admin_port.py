"""A command finds the admin port of the server whose state directory it is given."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.commands.admin_port import admin_port_of
from gateway.control.served import Served, write_served


def served(state: Path, settings: dict[str, Any] | None) -> Path:
    """A state directory from which a server with these settings serves."""
    (state / "run").mkdir(parents=True)
    write_served(state / "run" / "served.json", Served(version=1, endpoints={}, plan={}, settings=settings))
    return state


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Bound and not listened on: nobody answers there."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_it_is_the_one_that_the_server_was_started_with(tmp_path: Path) -> None:
    assert admin_port_of(served(tmp_path, {"admin_port": 9445})) == 9445


@pytest.mark.parametrize("settings", [None, {}, {"admin_port": 0}, {"admin_port": "x"}, {"admin_port": 70000}])
def test_it_is_the_usual_one_where_the_server_does_not_tell(tmp_path: Path, settings: dict[str, Any] | None) -> None:
    assert admin_port_of(served(tmp_path, settings)) == 8445


def test_it_is_the_usual_one_where_no_server_has_been(tmp_path: Path) -> None:
    assert admin_port_of(tmp_path) == 8445


def test_it_is_the_usual_one_where_the_file_is_damaged(tmp_path: Path) -> None:
    (served(tmp_path, None) / "run" / "served.json").write_bytes(b"{")

    assert admin_port_of(tmp_path) == 8445


@pytest.mark.parametrize("words", [("status",), ("history",), ("compare", "price")])
def test_commands_ask_there(tmp_path: Path, closed_port: int, words: tuple[str, ...]) -> None:
    state = served(tmp_path, {"admin_port": closed_port})
    for name in ("admin.key", "demo.key"):
        (state / name).write_text("lg_x")
    result = CliRunner().invoke(app, [*words, "--state-dir", str(state)])

    assert f"--admin-port {closed_port}: no answer" in str(result.exception)


def test_a_port_that_is_given_counts_before_the_servers(tmp_path: Path, closed_port: int) -> None:
    state = served(tmp_path, {"admin_port": 1})
    (state / "admin.key").write_text("lg_x")
    result = CliRunner().invoke(app, ["status", "--state-dir", str(state), "--admin-port", str(closed_port)])

    assert f"--admin-port {closed_port}: no answer" in str(result.exception)

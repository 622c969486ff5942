from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from tests.support.served import ROOT, lockgate

COMMANDS = ["serve", "gateway", "worker", "invoke", "check", "certs", "keys", "token", "version"]


def test_version_is_that_of_the_distribution() -> None:
    assert CliRunner().invoke(app, ["version"]).stdout == f"lockgate {version('lockgate')}\n"


def test_without_a_command_the_help_names_them_all() -> None:
    shown = CliRunner().invoke(app, []).output

    assert all(command in shown for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"])

    assert shown.exit_code == 0
    assert "Usage:" in shown.stdout


def test_help_and_version_load_no_server() -> None:
    script = (
        "import sys; from typer.testing import CliRunner; from gateway.cli import app; "
        "CliRunner().invoke(app, ['version']); print({'grpc', 'aiohttp', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"


def test_a_wrong_option_is_a_usage_error() -> None:
    assert CliRunner().invoke(app, ["serve", "x", "--prot", "1"]).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["worker", "nowhere", "--address", "unix:/x", "--drain-ms", "86400001"],
        ["check", "nowhere", "--timeout", "86401"],
        ["check", "nowhere", "--timeout", "inf"],
        ["invoke", "x", "--data", "y", "--timeout", "1e300"],
    ],
)
def test_a_time_that_nobody_can_wait_for_is_a_usage_error_that_names_the_option(arguments: list[str]) -> None:
    told = CliRunner().invoke(app, arguments)

    assert told.exit_code == 2
    assert arguments[-2] in told.output
    assert "lessthanorequalto86400" in "".join(told.output.replace("│", "").split())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["serve", "nowhere"], "no such file or folder"),
        (["check", "nowhere"], "no such file or folder"),
        (["gateway", "nowhere", "--plan", "p"], "no such file or folder"),
        (["worker", "nowhere", "--address", "unix:/x"], "nowhere: no such file or folder"),
        (["invoke", "x"], "--data: expected either a file or --example"),
        (["invoke", "x", "--data", "y"], "--key-file .lockgate/demo.key: cannot be read: No such file or directory"),
    ],
)
def test_an_expected_error_is_one_line_and_exit_code_2(arguments: list[str], line: str, tmp_path: Path) -> None:
    done = lockgate(*arguments, cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr.startswith("lockgate: ")
    assert done.stderr.endswith(f"{line}\n")
    assert done.stderr.count("\n") == 1


def test_a_wrong_setting_names_the_file_and_the_line(tmp_path: Path) -> None:
    (tmp_path / "endpoints").mkdir()
    (tmp_path / "endpoints" / "a.yaml").write_text("name: a\ndeployments: {}\ntrafic: {}\n")
    done = lockgate("serve", ".", cwd=tmp_path)

    assert done.returncode == 2
    assert "endpoints/a.yaml, line 3" in done.stderr


def test_a_setting_on_the_command_line_is_checked_too(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").touch()
    (tmp_path / "plan.json").write_text('{"m": 1}')
    done = lockgate("gateway", "m.onnx", "--plan", "plan.json", cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr.startswith("lockgate: plan.json: expected a plan file")

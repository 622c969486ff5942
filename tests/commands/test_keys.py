"""``lockgate keys`` and ``lockgate token`` as their user sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.auth.api_key import ApiKey, digest
from gateway.auth.bootstrap import StateFiles, prepare_state
from gateway.auth.key_file import read_keys, write_keys
from gateway.auth.token import TokenAccess
from gateway.cli import app
from gateway.commands.keys import lifetime_of
from gateway.core.access import Presented, Role
from gateway.core.errors import ConfigError


class Shell:
    """A state directory, and the command line in front of it."""

    def __init__(self, folder: Path) -> None:
        self.files: StateFiles = prepare_state(folder)

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--state-dir", str(self.files.root)])

    def key(self, *arguments: str) -> str:
        """The key that the command prints; nothing else may stand there."""
        done = self.run("keys", *arguments)
        assert done.exit_code == 0, done.output
        (line,) = done.stdout.splitlines()
        return line

    @property
    def kept(self) -> dict[str, str]:
        return {key.name: key.sha256 for key in read_keys(self.files.keys)}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "state")


def test_create_prints_the_key_alone_and_keeps_its_digest(shell: Shell) -> None:
    secret = shell.key("create", "ci", "--role", "score", "--role", "keys", "--endpoint", "a", "--expires-in", "90d")
    kept = read_keys(shell.files.keys)[-1]

    assert (kept.name, kept.sha256, kept.roles, kept.endpoints) == (
        "ci",
        digest(secret),
        (Role.SCORE, Role.KEYS),
        ["a"],
    )
    assert kept.expires == kept.created + 90 * 86_400


def test_regenerate_takes_an_endpoint_and_which_of_its_keys(shell: Shell) -> None:
    first = shell.key("regenerate", "a", "--key-type", "primary")
    second = shell.key("regenerate", "a", "--key-type", "secondary")

    assert (shell.kept["a.primary"], shell.kept["a.secondary"]) == (digest(first), digest(second))


def test_regenerating_a_key_of_the_first_start_renews_the_file_that_it_is_read_from(shell: Shell) -> None:
    secret = shell.key("regenerate", "demo")

    assert shell.files.demo_key.read_text() == f"{secret}\n"
    assert shell.files.demo_key.stat().st_mode & 0o777 == 0o600


def test_a_key_that_was_made_to_last_for_longer_than_a_date_can_say_is_listed_all_the_same(shell: Shell) -> None:
    keys = read_keys(shell.files.keys)
    write_keys(shell.files.keys, [*keys, ApiKey(name="old", sha256=digest("x"), created=1, expires=606_499_000_000)])
    done = shell.run("keys", "list")

    assert done.exit_code == 0
    assert "9999-12-31 23:59" in next(line for line in done.stdout.splitlines() if line.startswith("old"))


def test_a_key_is_not_made_to_last_for_longer_than_a_date_can_say(shell: Shell) -> None:
    done = shell.run("keys", "create", "ci", "--expires-in", "999999w")

    assert isinstance(done.exception, ConfigError)
    assert "expires: expected a time before the year 10000" in str(done.exception)


def test_revoke_ends_a_key(shell: Shell) -> None:
    done = shell.run("keys", "revoke", "demo")

    assert (done.exit_code, list(shell.kept)) == (0, ["admin"])
    assert 'key "demo" revoked by' in done.stderr


def test_list_shows_every_key_and_none_of_their_secrets(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "job").write_text("j" * 40)
    done = shell.run("keys", "list", "--from", str(tmp_path / "mounted"))
    rows = [line.split() for line in done.stdout.splitlines()]

    assert [(row[0], row[1], row[-1]) for row in rows[1:]] == [
        ("demo", "score", "file"),
        ("admin", "admin", "file"),
        ("job", "score", "secret"),
    ]
    assert not [key for key in shell.kept.values() if key in done.stdout]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["keys", "revoke", "nope"], 'keys: there is no key "nope"'),
        (["keys", "regenerate", "nope"], 'keys: there is no key "nope"'),
        (["keys", "create", "demo"], 'keys: name: there is a key "demo" already'),
        (["keys", "create", "x", "--expires-in", "soon"], "--expires-in: expected a time such as 90d"),
        (["keys", "regenerate", "a.b", "--key-type", "primary"], "--key-type: expected the name of an endpoint"),
        (["token"], "ENDPOINT: expected the name of an endpoint, or --rotate-key"),
        (["token", "../x"], "ENDPOINT: expected the name of an endpoint"),
        (["token", "a", "--revoke-all"], "--revoke-all: expected together with --rotate-key"),
    ],
)
def test_what_makes_no_sense_is_an_expected_error(shell: Shell, arguments: list[str], problem: str) -> None:
    done = shell.run(*arguments)

    assert isinstance(done.exception, ConfigError)
    assert str(done.exception).startswith(problem)


@pytest.mark.parametrize("command", [["keys", "list"], ["keys", "revoke", "demo"], ["token", "a"]])
def test_a_folder_that_is_no_state_directory_is_left_as_it_is(tmp_path: Path, command: list[str]) -> None:
    done = CliRunner().invoke(app, [*command, "--state-dir", str(tmp_path)])

    assert isinstance(done.exception, ConfigError)
    assert "the first start of lockgate serve makes" in str(done.exception)
    assert not (tmp_path / "keys.json").exists()
    assert not (tmp_path / "token-keys.json").exists()


@pytest.mark.parametrize(("text", "seconds"), [("45s", 45), ("30m", 1800), ("12h", 43_200), ("90d", 7_776_000)])
def test_a_time_has_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert lifetime_of(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "0d", "1.5h", "1y", "9999999d"])
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(ConfigError, match="--expires-in"):
        lifetime_of(text)


async def test_a_token_is_printed_in_azures_words_and_opens_its_endpoint(shell: Shell) -> None:
    done = shell.run("token", "price", "--lifetime", "600", "--subject", "batch-job")
    token = json.loads(done.stdout)
    access = TokenAccess(shell.files.token_keys, clock=lambda: token["expiryTimeUtc"] - 1, leeway=0)
    principal = await access(Presented(f"{token['tokenType']} {token['accessToken']}"), "price", Role.SCORE)

    assert principal.name == "batch-job"


def test_a_plain_token_stands_alone_as_a_header_wants_it(shell: Shell) -> None:
    done = shell.run("token", "price", "--plain")
    (line,) = done.stdout.splitlines()

    assert line.count(".") == 2
    assert line not in done.stderr


def test_the_signing_key_is_turned_over_with_and_without_an_overlap(shell: Shell) -> None:
    shell.run("token", "a")
    kept = []
    for more in ([], ["--revoke-all"]):
        shell.run("token", "--rotate-key", *more)
        kept.append(len(json.loads(shell.files.token_keys.read_bytes())["token_keys"]))

    assert kept == [2, 1]

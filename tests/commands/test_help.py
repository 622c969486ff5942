"""What the help of a command says is all shown: rich takes words in square brackets for its own, and drops them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from gateway.cli import app

MARKUP = re.compile(r"(?<!\\)\[[a-z]")


def options(command: Any, path: str = "lockgate") -> Iterator[tuple[str, str]]:
    """Every option and argument of every command, with its help."""
    for parameter in command.params:
        yield f"{path} {parameter.name}", getattr(parameter, "help", None) or ""
    for name, below in getattr(command, "commands", {}).items():
        yield from options(below, f"{path} {name}")


@pytest.mark.parametrize(("name", "text"), list(options(typer.main.get_command(app))))
def test_no_word_of_an_options_help_is_taken_for_markup(name: str, text: str) -> None:
    assert not MARKUP.search(text), name


@pytest.mark.parametrize("command", ["status", "diff", "apply", "traffic", "mirror", "history", "rollback"])
def test_every_option_of_the_commands_that_change_what_is_served_is_explained(command: str) -> None:
    found = [(name, text) for name, text in options(typer.main.get_command(app)) if name.split()[1] == command]

    assert found
    assert all(text for name, text in found if not name.endswith(" help"))

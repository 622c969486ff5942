"""A path is taken from where it stands, whatever is a link on the way."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.convert import absolute


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    """Folder ``a/b``; links ``l`` to it, ``a/up`` to the root, ``gone`` to nowhere and ``ring`` to itself."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "a" / "b").mkdir(parents=True)
        (root / "l").symlink_to("a/b")
        (root / "a" / "up").symlink_to(root)
        (root / "gone").symlink_to("nowhere")
        (root / "ring").symlink_to("ring")
        yield root


def by_looking(base: Path, written: str) -> str:
    """What it is by definition: as written, unless the system takes that for another place."""
    plain, real = os.path.normpath(base / written), os.path.realpath(base / written)
    return plain if os.path.realpath(plain) == real else real


@given(st.lists(st.sampled_from(["a", "b", "l", "up", "gone", "ring", "..", ".", "", "x"]), max_size=6))
def test_links_are_looked_at_only_where_they_matter(tree: Path, steps: list[str]) -> None:
    written = "/".join(steps)

    assert absolute(tree / "l", written) == by_looking(tree / "l", written)


@pytest.mark.parametrize("written", ["m", "/m", "//m", "///m//n/", ".", ""])
def test_a_path_without_a_step_up_is_what_it_is_by_looking(tree: Path, written: str) -> None:
    assert absolute(tree, written) == by_looking(tree, written)


@pytest.mark.parametrize("written", ["a\0b", "a/\ud800", "../\0"])
def test_what_no_path_can_hold_is_refused(tree: Path, written: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the system's own words
        absolute(tree, written)

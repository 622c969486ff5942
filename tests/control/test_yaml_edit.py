"""A changed file says what was wanted, and everything else in it stays where it was."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.control.yaml_edit import edited, written

BOUNDED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

FILE = """\
# what a diamond costs
name:   price            # in dollars
traffic: { blue: 90,  green: 10 }   # since Monday
deployments:

  blue:      {model: "../models/blue.onnx"}
  # the new one
  green:
    model: ../models/green   # trained in May
    # more than one would wait for each other
    workers: 2
# the end
"""


def said(text: str) -> Any:
    return msgspec.json.decode(msgspec.json.encode(yaml.safe_load(text)))


def change(text: str, *path: str, to: Any) -> str:
    """``to`` None: removed."""
    data = said(text)
    owner = data
    for key in path[:-1]:
        owner = owner[key]
    if to is None:
        del owner[path[-1]]
    else:
        owner[path[-1]] = to
    return edited(text, data)


def test_what_says_the_same_is_not_touched() -> None:
    assert edited(FILE, said(FILE)) == FILE


def test_a_number_is_changed_where_it_stands() -> None:
    data = said(FILE)
    data["traffic"] = {"blue": 80, "green": 20}

    assert edited(FILE, data) == FILE.replace("90", "80").replace("10 }", "20 }")


def test_an_entry_goes_with_its_line_and_the_comment_of_the_next_one_stays() -> None:
    assert change(FILE, "deployments", "blue", to=None) == FILE.replace(
        '  blue:      {model: "../models/blue.onnx"}\n', ""
    )


def test_an_entry_comes_behind_the_others_of_its_block() -> None:
    new = change(FILE, "deployments", "red", to={"model": "../models/red"})

    assert new == FILE.replace("workers: 2\n", "workers: 2\n  red: {model: ../models/red}\n")


def test_a_key_comes_at_the_end_of_the_file() -> None:
    assert change(FILE, "description", to="yes: no") == FILE.replace(
        "# the end\n", "description: 'yes: no'\n# the end\n"
    )


def test_a_block_that_becomes_empty_says_so() -> None:
    text = "name: a\nsticky:\n  header: x  # who\nlast: 1\n"

    assert change(text, "sticky", to={}) == "name: a\nsticky:\n  {}  # who\nlast: 1\n"


def test_a_file_without_a_last_line_end_gets_one_before_what_is_added() -> None:
    assert change("name: a", "last", to=1) == "name: a\nlast: 1\n"


def test_line_ends_of_another_system_stay() -> None:
    assert change("a: 1\r\nb: 2\r\n", "c", to=3) == "a: 1\r\nb: 2\r\nc: 3\r\n"


def test_a_text_of_several_lines_is_put_on_one() -> None:
    text = change(FILE, "deployments", "green", "model", to="a\nb\n")

    assert 'model: "a\\nb\\n"   # trained in May' in text


@pytest.mark.parametrize(
    "value", ["yes", "1", "1e3", "0o7", "", "null", "12:30", "- a", "#", "a: b", " a", "é😀", "[", "\t"]
)
def test_a_text_that_looks_like_something_else_is_still_that_text(value: str) -> None:
    assert said(change(FILE, "name", to=value))["name"] == value


def test_items_of_a_list_are_changed_one_by_one() -> None:
    text = "features:\n  - {name: carat, default: 0.5}  # of the stone\n  - name: cut\n    default: Good\n"
    data = said(text)
    data["features"][0]["default"] = 0.7
    data["features"][1]["default"] = "Ideal"

    assert edited(text, data) == text.replace("0.5", "0.7").replace("Good", "Ideal")


def test_what_stands_in_two_places_at_once_is_written_anew_and_right() -> None:
    text = "a: &one {x: 1}\nb: *one  # the same\n"
    new = change(text, "b", "x", to=2)

    assert said(new) == {"a": {"x": 1}, "b": {"x": 2}}


def test_a_change_elsewhere_leaves_aliases_alone() -> None:
    text = "a: &one {x: 1}\nb: *one  # the same\nc: 1\n"

    assert change(text, "c", to=2) == text.replace("c: 1", "c: 2")


NAMES = st.sampled_from(["blue", "green", "red", "on", "a-b", "model"])
SCALARS = st.one_of(
    st.integers(-(10**6), 10**6),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["yes", "2026-01-01", "a # b", "a: b", "é", "x\ny", "1_0", "~"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.dictionaries(NAMES, inner, max_size=4), st.lists(inner, max_size=3)),
    max_leaves=12,
)
DATA = st.dictionaries(NAMES, VALUES, min_size=1, max_size=5)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A file as somebody may have written it, with comments."""
    text = yaml.safe_dump(
        draw(DATA),
        default_flow_style=draw(st.sampled_from([None, False])),
        indent=draw(st.sampled_from([2, 4])),
        allow_unicode=draw(st.booleans()),
        sort_keys=False,
    )
    lines = text.splitlines(keepends=True)
    data = said(text)
    for place in draw(st.lists(st.integers(0, len(lines)), max_size=3)):
        commented = "".join([*lines[:place], f"# comment {place}\n", *lines[place:]])
        if _reads_as(commented, data):  # not within a text of several lines
            lines = commented.splitlines(keepends=True)
    return "".join(lines)


def _reads_as(text: str, data: Any) -> bool:
    try:
        return bool(said(text) == data)
    except yaml.YAMLError:
        return False


@st.composite
def with_another_leaf(draw: st.DrawFn) -> tuple[str, Any]:
    """A file, and what it should say: one value is another one, or there is one more."""
    text = draw(texts())
    wanted = said(text)
    owner, key = wanted, draw(st.sampled_from(list(wanted)))
    while isinstance(owner[key], dict) and owner[key] and draw(st.booleans()):
        owner = owner[key]
        key = draw(st.sampled_from([*owner, "added"]))
        if key == "added":
            break
    if key == "added" or not isinstance(owner[key], dict | list):
        owner[key] = draw(SCALARS)
    return text, wanted


def comments(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("# comment")]


@BOUNDED
@given(texts(), DATA)
@example("a:\n  b: 1\n", {"a": {}})
def test_any_file_can_be_made_to_say_anything(text: str, wanted: dict[str, Any]) -> None:
    assert said(edited(text, wanted)) == wanted


@BOUNDED
@given(texts(), st.data())
def test_a_file_that_has_lost_an_entry_says_the_rest(text: str, data: st.DataObject) -> None:
    wanted = copy.deepcopy(said(text))
    del wanted[data.draw(st.sampled_from(list(wanted)))]

    assert said(edited(text, wanted)) == wanted


@BOUNDED
@given(with_another_leaf())
def test_all_comments_stay_when_one_value_changes(case: tuple[str, Any]) -> None:
    text, wanted = case
    new = edited(text, wanted)

    assert comments(new) == comments(text)
    assert said(new) == wanted


@BOUNDED
@given(DATA)
def test_a_new_file_says_what_was_wanted(wanted: dict[str, Any]) -> None:
    assert said(written(wanted)) == wanted


@pytest.mark.parametrize("text", ["base: &b {x: 1}\nreal:\n  <<: *b\n  y: 2\n", "real: {yes: 1, 2: 3, x: 1}\n", ""])
def test_keys_that_are_not_plain_texts_are_written_anew_and_right(text: str) -> None:
    wanted = {"real": {"x": 5, "y": 2}}

    assert said(edited(text, wanted)) == wanted

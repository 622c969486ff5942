"""A memory of what data were made into is the same as no memory, but for the time that it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Settings, compose_unseen
from gateway.control.convert import WrongValue, convert
from gateway.control.converted import Converted
from gateway.control.document import Document, Entry
from gateway.control.endpoints import EndpointConfig
from gateway.core.errors import ConfigError

_VALUES = st.one_of(st.sampled_from([1, 1.0, True, 2, 0, "1", None]), st.just([1]))
_ENDPOINTS = st.fixed_dictionaries(
    {"name": st.just("e"), "deployments": st.just({"blue": {"model": "/m", "workers": 1}})},
    optional={
        "request_timeout_ms": _VALUES,
        "description": _VALUES,
        "loaded": _VALUES,
        "traffic": st.dictionaries(st.just("blue"), st.sampled_from([100, 100.0, True, 0])),
    },
)


def outcome(make: Any, *arguments: Any) -> str:
    """Told as text, where True is not 1."""
    try:
        return repr(make(*arguments))
    except WrongValue as error:
        return f"{error.keys} {error}"


def endpoint(model: str) -> dict[str, Any]:
    return {"name": "e", "deployments": {"blue": {"model": model}}}


@given(st.lists(_ENDPOINTS, max_size=8))
def test_whatever_was_converted_before_each_is_what_it_would_be_without_memory(each: list[dict[str, Any]]) -> None:
    converted = Converted()

    assert [outcome(converted.convert, "e", data, EndpointConfig) for data in each] == [
        outcome(convert, data, EndpointConfig) for data in each
    ]


def test_the_same_data_is_the_same_object() -> None:
    converted = Converted()

    assert converted.convert("e", endpoint("/m"), EndpointConfig) is converted.convert(
        "e", endpoint("/m"), EndpointConfig
    )


def test_a_path_that_goes_up_is_taken_anew_because_links_may_have_been_swapped(tmp_path: Path) -> None:
    converted, link = Converted(), tmp_path / "link"
    found = []
    for folder in ("one", "two"):
        (tmp_path / folder / "sub").mkdir(parents=True)
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / folder / "sub")
        made = converted.convert("e", endpoint(f"{link}/../m"), EndpointConfig)
        found.append(made.deployments["blue"].model)

    assert found == [tmp_path / "one" / "m", tmp_path / "two" / "m"]


def test_what_has_no_name_any_more_is_forgotten() -> None:
    converted = Converted()
    first = converted.convert("e", endpoint("/m"), EndpointConfig)
    converted.keep((), EndpointConfig)

    assert converted.convert("e", endpoint("/m"), EndpointConfig) is not first


def test_what_is_of_another_class_is_kept() -> None:
    converted = Converted()
    first = converted.convert("e", endpoint("/m"), EndpointConfig)
    converted.keep((), Path)

    assert converted.convert("e", endpoint("/m"), EndpointConfig) is first


def test_data_that_is_no_json_is_converted_all_the_same() -> None:
    data = endpoint("/m/\udcff")  # a path whose bytes are no text

    assert outcome(Converted().convert, "e", data, EndpointConfig) == outcome(convert, data, EndpointConfig)


def test_what_a_refused_document_said_is_forgotten_with_the_next_one() -> None:
    converted, known = Converted(), []
    for name in ("one", "two"):
        endpoints = {name: {**endpoint("/m"), "name": name}, "wrong": {}}
        document = Document(entry=Entry(version=1, at=0.0, by="", what=""), endpoints=endpoints)
        with pytest.raises(ConfigError):
            compose_unseen(document, Path("/"), Settings(), converted)
        known.append(converted.convert(name, endpoints[name], EndpointConfig))

    assert converted.convert("two", {**endpoint("/m"), "name": "two"}, EndpointConfig) is known[1]
    assert converted.convert("one", {**endpoint("/m"), "name": "one"}, EndpointConfig) is not known[0]

"""A call's headers: what is remembered of the last call says the same as reading everything again."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h2grpc.errors import WireError
from h2grpc.opening import NONE, Headers, Opening

LIMIT = 600
BASE: Headers = (
    (b":method", b"POST"),
    (b":scheme", b"https"),
    (b":path", b"/t.Echo/echo"),
    (b"content-type", b"application/grpc"),
    (b"authorization", b"Bearer one"),
    (b"grpc-timeout", b"5S"),
    (b"x-trace-bin", base64.b64encode(b"one")),
    (b"x-trace", b"one"),
)

NAMES = st.sampled_from(
    [
        b"authorization",
        b"grpc-timeout",
        b"grpc-encoding",
        b"grpc-accept-encoding",
        b"x-trace",
        b"x-trace-bin",
        b":path",
        b"te",
        b"grpc-unknown",
    ]
)
VALUES = st.sampled_from([b"5S", b"17m", b"", b"-1S", b"gzip", b"identity", b"YQ", b"YQ,Yg", b"?", b"/a", b"x" * 300])
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 9), VALUES),
        st.tuples(st.just("rename"), st.integers(0, 9), NAMES),
        st.tuples(st.just("add"), NAMES, VALUES),
        st.tuples(st.just("drop"), st.integers(1, 9), st.just(b"")),
        st.tuples(st.just("keep"), st.just(0), st.just(b"")),
    ),
    max_size=3,
)


def change(headers: Headers, changes: list[tuple[str, int | bytes, bytes]]) -> Headers:
    """Pseudo-headers are always there, as the engine sees to that."""
    changed = list(headers)
    for deed, where, value in changes:
        if deed == "add":
            assert isinstance(where, bytes)
            changed.append((where, value))
            continue
        assert isinstance(where, int)
        at = where % len(changed)
        if deed == "set":
            changed[at] = (changed[at][0], value)
        elif deed == "rename" and changed[at][0] != b":path":
            changed[at] = (value, changed[at][1])
        elif deed == "drop" and changed[at][0] != b":path":
            del changed[at]
    return tuple(changed)


def said(opening: Opening) -> tuple[object, ...]:
    return (
        opening.headers,
        opening.path,
        opening.metadata,
        opening.timeout,
        opening.encoding,
        opening.accepts,
    )


def whole(headers: Headers) -> Opening:
    return Opening.read(headers, dict(headers), LIMIT)


@given(st.lists(CHANGES, max_size=8))
@settings(max_examples=500)
def test_what_follows_from_the_last_call_is_what_reading_everything_says(
    sequence: list[list[tuple[str, int | bytes, bytes]]],
) -> None:
    headers, last = BASE, whole(BASE)
    for changes in sequence:
        headers = change(headers, changes)
        last.made = last.made or ("made of", last.path, last.metadata)
        followed = last.followed_by(headers, LIMIT)
        try:
            fresh = whole(headers)
        except WireError:
            assert followed is None
            continue
        assert followed is None or said(followed) == said(fresh)
        assert followed is None or followed.made in (None, ("made of", fresh.path, fresh.metadata))
        last = followed or fresh


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"grpc-timeout", b"17m"), (b"x-trace", b"two"), (b"authorization", b"Bearer two")],
)
def test_another_deadline_or_text_needs_no_reading_of_the_rest(name: bytes, value: bytes) -> None:
    headers = tuple((each, value if each == name else old) for each, old in BASE)

    followed = whole(BASE).followed_by(headers, LIMIT)

    assert followed is not None
    assert said(followed) == said(whole(headers))


@pytest.mark.parametrize(("name", "is_kept"), [(b"grpc-timeout", True), (b"x-trace", False), (b"te", True)])
def test_what_was_made_of_the_metadata_is_kept_while_it_is_the_same(name: bytes, is_kept: bool) -> None:
    opening = whole(BASE)
    opening.made = made = object()
    followed = opening.followed_by(tuple((each, b"17m" if each == name else old) for each, old in BASE), LIMIT)

    assert followed is not None
    assert (followed.made is made) == is_kept


@pytest.mark.parametrize("name", [b":path", b":method", b"content-type", b"x-trace-bin"])
def test_another_path_kind_or_binary_value_is_read_whole(name: bytes) -> None:
    headers = tuple((each, b"YQ" if each == name else old) for each, old in BASE)

    assert whole(BASE).followed_by(headers, LIMIT) is None


def test_of_two_deadlines_the_last_is_heard_whichever_changes() -> None:
    twice = (*BASE, (b"grpc-timeout", b"7S"))
    first = tuple((name, b"1S" if at == 5 else value) for at, (name, value) in enumerate(twice))
    last = (*BASE, (b"grpc-timeout", b"8S"))
    opening = whole(twice)

    assert opening.followed_by(first, LIMIT) is None
    assert (followed := opening.followed_by(last, LIMIT)) is not None
    assert followed.timeout == 8.0


def test_a_list_above_the_limit_does_not_follow_from_one_below() -> None:
    headers = (*BASE[:-1], (b"x-trace", b"x" * LIMIT))

    assert whole(BASE).followed_by(headers, LIMIT) is None


def test_nothing_follows_from_no_call() -> None:
    assert NONE.followed_by(BASE, LIMIT) is None

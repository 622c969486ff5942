"""What the lines of a head mean, and which are refused."""

from __future__ import annotations

import pytest

from gateway.core.errors import InvalidInput
from gateway.edge.errors import HeaderTooLarge
from gateway.edge.http1_headers import MAX_HEADERS, add_headers, check_sizes


def added(*lines: tuple[bytes, bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    add_headers(headers, lines)
    return headers


@pytest.mark.parametrize("name", [b"content-type", b"Content-Type", b"CONTENT-type"])
def test_a_name_is_lower_case_however_it_is_spelled(name: bytes) -> None:
    assert added((name, b"A")) == {"content-type": "A"}


def test_the_first_of_two_counts() -> None:
    assert added((b"X-One", b"1"), (b"x-one", b"2")) == {"x-one": "1"}


@pytest.mark.parametrize("name", [b"Host", b"Content-Length", b"Transfer-Encoding", b"Authorization"])
def test_two_that_readers_could_disagree_about_are_refused_and_what_came_before_is_known(name: bytes) -> None:
    headers: dict[str, str] = {}
    with pytest.raises(InvalidInput):
        add_headers(headers, [(b"Origin", b"o"), (name, b"5"), (name.upper(), b"5")])

    assert headers == {"origin": "o", name.decode().lower(): "5"}


@pytest.mark.parametrize(
    ("target", "lines"),
    [(b"/" * 11, []), (b"/", [(b"name", b"seven..")]), (b"/", [(b"a", b"")] * (MAX_HEADERS + 1))],
    ids=["target", "header", "number"],
)
def test_what_is_over_a_limit_is_refused(target: bytes, lines: list[tuple[bytes, bytes]]) -> None:
    check_sizes(target[:10], [(name, value[:6]) for name, value in lines[:MAX_HEADERS]], 10)

    with pytest.raises(HeaderTooLarge):
        check_sizes(target, lines, 10)

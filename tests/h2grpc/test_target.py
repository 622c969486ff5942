"""Targets as gRPC writes them."""

from __future__ import annotations

import pytest

from h2grpc.target import Target


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("unix:/run/a", Target("/run/a", "", 0)),
        ("unix:///run/a", Target("/run/a", "", 0)),
        ("unix:a", Target("a", "", 0)),
        ("localhost:80", Target(None, "localhost", 80)),
        ("dns:///localhost:80", Target(None, "localhost", 80)),
        ("ipv4:127.0.0.1:80", Target(None, "127.0.0.1", 80)),
        ("[::1]:80", Target(None, "::1", 80)),
    ],
)
def test_a_target_is_read(text: str, target: Target) -> None:
    assert Target.parse(text) == target


@pytest.mark.parametrize("text", ["", "unix:", "localhost", "localhost:", ":80", "a:0", "a:65536", "a:x", "a:٣"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="target"):
        Target.parse(text)


def test_the_authority_is_the_target_again() -> None:
    assert [Target.parse(text).authority for text in ("a:1", "[::1]:1", "unix:/a")] == ["a:1", "[::1]:1", "localhost"]

from __future__ import annotations

import pytest

from feature_cache.address import Address, StoreAddress, parse_url

HOST = Address("host", 6379)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://host", StoreAddress(kind="standalone", servers=(HOST,))),
        ("redis://host:1/3", StoreAddress(kind="standalone", servers=(Address("host", 1),), db=3)),
        (
            "rediss://me:p%40ss@host",
            StoreAddress(kind="standalone", servers=(HOST,), tls=True, user="me", password="p@ss"),
        ),
        ("valkey://:secret@host", StoreAddress(kind="standalone", servers=(HOST,), password="secret")),
        ("redis://[::1]:7", StoreAddress(kind="standalone", servers=(Address("::1", 7),))),
        ("unix:///a/b.sock?db=2", StoreAddress(kind="standalone", servers=(Address(path="/a/b.sock"),), db=2)),
        (
            "rediss+sentinel://a:1,b:2/main/4",
            StoreAddress(kind="sentinel", servers=(Address("a", 1), Address("b", 2)), tls=True, master="main", db=4),
        ),
        ("redis+cluster://a:1,b:2", StoreAddress(kind="cluster", servers=(Address("a", 1), Address("b", 2)))),
    ],
)
def test_a_url_says_where_the_store_is(url: str, address: StoreAddress) -> None:
    assert parse_url(url) == address


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://host", "expected redis://"),
        ("host:6379", "expected redis://"),
        ("redis://", "expected redis://"),
        ("redis+proxy://host", "expected redis://"),
        ("redis://host:port", "expected host:port"),
        ("redis://a,b", "expected one host"),
        ("redis://host/db", "expected the number of a database"),
        ("redis+sentinel://a:1", "expected the master's name"),
        ("redis+cluster://a:1/2", "expected nothing behind the host"),
        ("unix://", "expected redis://"),
    ],
)
def test_what_is_no_store_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_url(url)


@pytest.mark.parametrize(
    "url", ["redis://me:hunter2@a,b", "redis+proxy://me:hunter2@host", "redis://me:hunter2@host:x"]
)
def test_a_password_is_never_shown(url: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 — the text is looked at
        parse_url(url)

    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(parse_url("redis://me:hunter2@host"))

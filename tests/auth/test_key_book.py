"""Keys are made, replaced and revoked without disturbing each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.auth.api_key import LATEST, ApiKey, digest
from gateway.auth.key_book import KeyBook
from gateway.auth.key_file import read_keys, write_keys
from gateway.auth.key_uses import KeyUses
from gateway.core.access import Role
from gateway.core.errors import Forbidden, InvalidInput, NotFound

NOW = 1_000_000


class Book:
    def __init__(self, folder: Path, mounted: Path | None = None) -> None:
        self.now = float(NOW)
        self.file = folder / "keys.json"
        self.uses = KeyUses(folder / "uses.json")
        write_keys(self.file, [ApiKey(name="demo", sha256=digest("lg_demo"))])
        self.book = KeyBook(self.file, self.uses, mounted, clock=lambda: self.now)

    @property
    def digests(self) -> dict[str, str]:
        return {key.name: key.sha256 for key in read_keys(self.file)}


def anything(key: ApiKey) -> None:
    pass


def nothing(key: ApiKey) -> None:
    raise Forbidden("no")


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


def test_a_new_key_is_kept_as_its_digest_with_its_rights_and_its_end(book: Book) -> None:
    made = book.book.create("ci", [Role.SCORE, Role.KEYS], ["b", "a", "a"], 60, anything)

    assert read_keys(book.file)[-1] == ApiKey(
        name="ci",
        sha256=digest(made.secret),
        roles=(Role.SCORE, Role.KEYS),
        endpoints=["a", "b"],
        created=NOW,
        expires=NOW + 60,
    )
    assert made.secret not in repr(made)


def test_a_key_may_last_until_the_end_of_the_year_9999(book: Book) -> None:
    assert book.book.create("ci", [Role.SCORE], None, LATEST - NOW, anything).key.expires == LATEST


def test_a_key_that_would_last_longer_is_not_made(book: Book) -> None:
    with pytest.raises(InvalidInput, match="expires: expected a time before the year 10000"):
        book.book.create("ci", [Role.SCORE], None, LATEST - NOW + 1, anything)

    assert book.digests.keys() == {"demo"}


def test_regenerating_one_key_of_an_endpoint_leaves_the_other(book: Book) -> None:
    first = book.book.regenerate("a", "primary", anything)
    second = book.book.regenerate("a", "secondary", anything)
    third = book.book.regenerate("a", "primary", anything)

    assert book.digests == {
        "demo": digest("lg_demo"),
        "a.secondary": digest(second.secret),
        "a.primary": digest(third.secret),
    }
    assert len({first.secret, second.secret, third.secret}) == 3


def test_an_endpoints_key_is_for_that_endpoint_alone(book: Book) -> None:
    made = book.book.regenerate("a", "primary", anything)

    assert (made.key.endpoints, made.key.roles, made.key.expires) == (["a"], (Role.SCORE,), None)


def test_renewing_keeps_the_rights_and_the_time_that_a_key_lasts(book: Book) -> None:
    old = book.book.create("ci", [Role.READ], ["a"], 60, anything)
    book.now += 50
    new = book.book.renew("ci", anything)

    assert (new.key.roles, new.key.endpoints, new.key.expires) == ((Role.READ,), ["a"], NOW + 110)
    assert book.digests["ci"] == digest(new.secret) != digest(old.secret)


def test_a_revoked_key_is_gone(book: Book) -> None:
    book.book.revoke("demo", anything)

    assert book.digests == {}


@pytest.mark.parametrize("do", ["create", "regenerate", "renew", "revoke"])
def test_what_is_not_allowed_changes_nothing(book: Book, do: str) -> None:
    actions: dict[str, Callable[[], object]] = {
        "create": lambda: book.book.create("ci", [Role.SCORE], None, None, nothing),
        "regenerate": lambda: book.book.regenerate("a", "primary", nothing),
        "renew": lambda: book.book.renew("demo", nothing),
        "revoke": lambda: book.book.revoke("demo", nothing),
    }
    with pytest.raises(Forbidden):
        actions[do]()

    assert book.digests == {"demo": digest("lg_demo")}


@pytest.mark.parametrize(
    ("name", "endpoints", "lifetime"),
    [
        ("demo", None, None),
        ("a.primary", None, None),
        ("lg_abc", None, None),
        ("a b", None, None),
        ("ci", [], None),
        ("ci", None, 0),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(
    book: Book, name: str, endpoints: list[str] | None, lifetime: int | None
) -> None:
    with pytest.raises(InvalidInput):
        book.book.create(name, [Role.SCORE], endpoints, lifetime, anything)

    assert list(book.digests) == ["demo"]


def test_a_key_that_is_not_there_is_not_found(book: Book) -> None:
    with pytest.raises(NotFound, match='there is no key "ci"'):
        book.book.revoke("ci", anything)


def test_a_key_instead_of_its_name_is_not_repeated(book: Book) -> None:
    with pytest.raises(InvalidInput, match="the name of a key, not the key") as caught:
        book.book.revoke("lg_demo", anything)

    assert "lg_demo" not in str(caught.value)


def test_a_key_of_a_mounted_secret_is_listed_and_changed_only_there(tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (mounted / "job").write_text("j" * 40)
    (mounted / "a.primary").write_text("p" * 40)
    book = Book(tmp_path, mounted)
    refused = 0
    for attempt in (
        lambda: book.book.revoke("job", anything),
        lambda: book.book.create("job", [Role.SCORE], None, None, anything),
        lambda: book.book.regenerate("a", "primary", anything),
    ):
        with pytest.raises(InvalidInput, match="comes from the mounted secret"):
            attempt()
        refused += 1

    assert [(each.key.name, each.is_mounted) for each in book.book.listed()] == [
        ("demo", False),
        ("a.primary", True),
        ("job", True),
    ]
    assert refused == 3


def test_the_last_use_is_listed_but_not_that_of_the_key_before(book: Book) -> None:
    book.uses.note({"demo": NOW + 5})
    first = [each.last_used for each in book.book.listed()]
    book.now += 10
    book.book.renew("demo", anything)

    assert (first, [each.last_used for each in book.book.listed()]) == ([NOW + 5], [0])

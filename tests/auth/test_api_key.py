"""What is kept of a key, and what it lets its holder do."""

from __future__ import annotations

import pytest

from gateway.auth.api_key import ApiKey, digest, new_key, slot_name, slot_of
from gateway.core.access import Role

KEY = new_key()


def test_two_new_keys_differ_and_are_recognisable() -> None:
    first, second = new_key(), new_key()

    assert first != second
    assert first.startswith("lg_")
    assert len(first) == 46


def test_a_key_scores_on_all_endpoints_unless_it_says_otherwise() -> None:
    principal = ApiKey(name="demo", sha256=digest(KEY)).principal

    assert [principal.may(role, "any") for role in (Role.SCORE, Role.READ, Role.KEYS)] == [True, True, False]


def test_a_key_of_one_endpoint_is_for_no_other() -> None:
    principal = ApiKey(name="one", sha256=digest(KEY), endpoints=["a"], roles=(Role.KEYS,)).principal

    assert (principal.may(Role.KEYS, "a"), principal.may(Role.KEYS, "b")) == (True, False)


@pytest.mark.parametrize("name", ["", "a b", "../keys", "é", "x" * 81, KEY])
def test_a_name_that_is_none_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(ValueError, match="name: expected") as caught:
        ApiKey(name=name, sha256=digest(KEY))

    assert KEY not in str(caught.value)


@pytest.mark.parametrize("sha256", ["", "zz", digest(KEY).upper(), digest(KEY)[1:], KEY])
def test_only_a_digest_is_kept(sha256: str) -> None:
    with pytest.raises(ValueError, match="sha256: expected"):
        ApiKey(name="demo", sha256=sha256)


@pytest.mark.parametrize(
    ("name", "slot"),
    [("a.primary", ("a", "primary")), ("a-b.secondary", ("a-b", "secondary")), ("a", None), (".primary", None)],
)
def test_a_slot_is_read_off_its_name(name: str, slot: object) -> None:
    assert slot_of(name) == slot


def test_a_slots_name_leads_back_to_it() -> None:
    assert slot_of(slot_name("price", "secondary")) == ("price", "secondary")

"""Nobody gives more than they have."""

from __future__ import annotations

import pytest

from gateway.auth.policy import holds, may_manage, narrowed
from gateway.core.access import Grant, Principal, Role

ADMIN = Principal("root", (Grant(frozenset({Role.ADMIN})),))
OF_A = Principal("a", (Grant(frozenset({Role.KEYS}), frozenset({"a"})),))
OF_ALL = Principal("all", (Grant(frozenset({Role.KEYS})),))
SCORER = Principal("s", (Grant(frozenset({Role.SCORE})),))


@pytest.mark.parametrize(
    ("principal", "roles", "endpoints", "may"),
    [
        (ADMIN, {Role.ADMIN}, None, True),
        (ADMIN, {Role.DEPLOY}, {"a"}, True),
        (OF_A, {Role.SCORE, Role.READ, Role.KEYS}, {"a"}, True),
        (OF_A, {Role.SCORE}, {"a", "b"}, False),
        (OF_A, {Role.SCORE}, None, False),
        (OF_A, {Role.ADMIN}, {"a"}, False),
        (OF_ALL, {Role.SCORE}, None, True),
        (OF_ALL, {Role.DEPLOY}, {"a"}, False),
        (SCORER, {Role.SCORE}, {"a"}, False),
    ],
)
def test_a_key_is_managed_by_whoever_holds_keys_wherever_it_is_for(
    principal: Principal, roles: set[Role], endpoints: set[str] | None, may: bool
) -> None:
    assert may_manage(principal, roles, endpoints) is may


def test_a_role_on_some_endpoints_is_not_one_on_all() -> None:
    assert (holds(OF_A, Role.KEYS, {"a"}), holds(OF_A, Role.KEYS, None)) == (True, False)


def test_narrowing_leaves_only_what_was_there_before() -> None:
    both = Principal("b", (Grant(frozenset({Role.SCORE})), Grant(frozenset({Role.KEYS}), frozenset({"x"}))))
    left = narrowed(both, frozenset({"a"}))

    assert [left.may(Role.SCORE, name) for name in ("a", "b")] == [True, False]
    assert not left.may(Role.KEYS, None)

"""What a client certificate allows: what the settings say of its names, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.auth.client_certificate import CertificateAccess, CertificateGrant
from gateway.auth.config import AuthConfig
from gateway.config import Settings
from gateway.core.access import ClientCertificate, Presented, Principal, Role
from gateway.core.errors import Forbidden, Unauthenticated

BOB = ClientCertificate("bob", ("bob.clients.test", "spiffe://prod/bob", "bob@example.test"))


async def ask(
    *grants: dict[str, Any],
    certificate: ClientCertificate | None = BOB,
    endpoint: str | None = "e",
    role: Role = Role.SCORE,
) -> Principal:
    access = CertificateAccess([CertificateGrant(**{"roles": [Role.SCORE], **grant}) for grant in grants])
    return await access(Presented(None, certificate), endpoint, role)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ({"san": "bob.clients.test"}, "bob.clients.test"),
        ({"san": "*.clients.test"}, "bob.clients.test"),
        ({"san": "spiffe://prod/*"}, "spiffe://prod/bob"),
        ({"san": "*@example.test"}, "bob@example.test"),
        ({"subject": "bob"}, "bob"),
        ({"subject": "*"}, "bob"),
    ],
)
async def test_the_name_that_fits_is_the_principals(pattern: dict[str, str], name: str) -> None:
    principal = await ask(pattern)

    assert (principal.name, principal.kind) == (name, "certificate")


async def test_a_name_in_the_settings_is_used_instead() -> None:
    assert (await ask({"subject": "b*", "name": "team-blue"})).name == "team-blue"


@pytest.mark.parametrize(
    "pattern",
    [
        {"san": "bob"},  # that is its subject
        {"subject": "bob.clients.test"},
        {"san": "*.clients.test.evil"},
        {"san": "clients.test"},
        {"san": "bob.clients_test"},
        {"san": "bobXclients.test"},
        {"san": "bob?clients.test"},
        {"san": "BOB.clients.test"},
        {"san": "[b]ob.clients.test"},
    ],
)
async def test_a_certificate_that_no_pattern_fits_may_do_nothing(pattern: dict[str, str]) -> None:
    with pytest.raises(Forbidden, match='may not score endpoint "e"'):
        await ask(pattern)


async def test_without_rules_nobody_may_do_anything() -> None:
    with pytest.raises(Forbidden):
        await ask()


async def test_a_certificate_without_names_fits_no_pattern() -> None:
    with pytest.raises(Forbidden):
        await ask({"san": "*"}, {"subject": "*"}, certificate=ClientCertificate(""))


async def test_a_dot_in_a_pattern_is_a_dot() -> None:
    with pytest.raises(Forbidden):
        await ask({"san": "bob.clients.test"}, certificate=ClientCertificate("", ("bob-clients.test",)))


async def test_a_pattern_does_not_reach_over_a_line_break() -> None:
    with pytest.raises(Forbidden):
        await ask({"subject": "a*"}, certificate=ClientCertificate("a\nb"))


async def test_roles_are_those_of_the_rule_on_its_endpoints() -> None:
    rule = {"subject": "bob", "roles": [Role.DEPLOY], "endpoints": ["e"]}

    assert await ask(rule, role=Role.DEPLOY)
    for asked in ({"role": Role.SCORE}, {"endpoint": "other", "role": Role.DEPLOY}):
        with pytest.raises(Forbidden):
            await ask(rule, **asked)


async def test_rules_that_fit_add_up_and_the_first_names() -> None:
    rules: list[dict[str, Any]] = [
        {"subject": "bob", "endpoints": ["e"]},
        {"san": "*.clients.test", "name": "second", "roles": [Role.KEYS], "endpoints": ["f"]},
    ]

    assert (await ask(*rules, endpoint="e")).name == "bob"
    assert (await ask(*rules, endpoint="f", role=Role.KEYS)).name == "bob"
    with pytest.raises(Forbidden):
        await ask(*rules, endpoint="e", role=Role.KEYS)


async def test_without_a_certificate_the_caller_is_unknown() -> None:
    with pytest.raises(Unauthenticated):
        await ask({"subject": "*"}, certificate=None)


async def test_the_verdicts_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.auth.client_certificate._KEPT", 3)
    access = CertificateAccess([CertificateGrant(subject="*", roles=[Role.SCORE])])
    for i in range(10):
        await access(Presented(None, ClientCertificate(f"c{i}")), "e", Role.SCORE)

    assert len(access._principals) == 3


async def test_a_verdict_is_worked_out_once() -> None:
    access = CertificateAccess([CertificateGrant(subject="bob", roles=[Role.SCORE])])
    first = await access(Presented(None, BOB), "e", Role.SCORE)

    assert await access(Presented(None, ClientCertificate(BOB.subject, BOB.names)), "e", Role.SCORE) is first


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "san"),
        ({"san": "a", "subject": "b"}, "san"),
        ({"san": "a", "roles": []}, "roles"),
    ],
)
def test_a_rule_that_says_nothing_is_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: expected"):
        CertificateGrant(**{"roles": [Role.SCORE], **settings})


def test_rules_for_certificates_that_nobody_asks_for_are_refused() -> None:
    rules = [CertificateGrant(subject="*", roles=[Role.SCORE])]

    with pytest.raises(ValueError, match=r"auth: expected edge\.tls\.client_auth"):
        Settings(auth=AuthConfig(certificates=rules))

"""A request is judged by what its endpoint takes, and what nothing allows is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.auth.access import AdminAccess, EndpointAccess
from gateway.auth.api_key import ApiKey, digest
from gateway.auth.audit import Audit
from gateway.auth.key_file import write_keys
from gateway.auth.key_store import KeyStore
from gateway.auth.key_uses import KeyUses
from gateway.auth.token import TokenAccess, issue_token
from gateway.auth.token_keys import signing_key
from gateway.control.endpoints import AuthMode
from gateway.core.access import Access, Caller, ClientCertificate, Grant, Presented, Principal, Role
from gateway.core.errors import ConfigError, Forbidden, Unauthenticated

NOW = 1_000_000.0
ALL, OF_KEYED, ADMIN = "lg_all", "lg_keyed", "lg_admin"
CERTIFICATE = ClientCertificate("robot")


class Certificates:
    """Lets the robot score ``keyed``."""

    async def __call__(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        assert caller.certificate is not None
        principal = Principal(
            caller.certificate.subject, (Grant(frozenset({Role.SCORE}), frozenset({"keyed"})),), "certificate"
        )
        if not principal.may(role, endpoint):
            raise Forbidden("not yours")
        return principal


class Provider:
    """An identity provider that knows one token; slow while it is held."""

    def __init__(self) -> None:
        self.held: asyncio.Event | None = None

    async def __call__(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        if self.held is not None:
            await self.held.wait()
        if caller.credential != "Bearer eyJ.aad":
            raise Unauthenticated('a token "of somebody"\r\nelse')
        return Principal("user", (Grant(frozenset({Role.SCORE, Role.KEYS})),), "jwt")


class Door:
    """Real keys and tokens. Endpoints ``keyed``, ``other``, ``tokened`` and ``entra``, unless told otherwise."""

    def __init__(self, folder: Path, modes: dict[str, AuthMode] | None = None) -> None:
        self.file = folder / "keys.json"
        write_keys(
            self.file,
            [
                ApiKey(name="all", sha256=digest(ALL)),
                ApiKey(name="keyed", sha256=digest(OF_KEYED), endpoints=["keyed"]),
                ApiKey(name="admin", sha256=digest(ADMIN), roles=(Role.ADMIN,)),
            ],
        )
        modes = modes or {"keyed": "key", "other": "key", "tokened": "token", "entra": "aad_token"}
        self.provider = Provider()
        self.verifiers: dict[AuthMode, Access] = {
            "key": KeyStore(self.file, None, KeyUses(folder / "uses"), clock=lambda: NOW),
            "token": TokenAccess(folder / "token-keys.json", clock=lambda: NOW, leeway=0),
            "aad_token": self.provider,
        }
        self.token = issue_token(
            signing_key(folder / "token-keys.json", NOW), "tokened", "ci", now=NOW, lifetime=60
        ).accessToken
        audit = Audit(clock=lambda: 0.0)
        self.access = EndpointAccess(modes, self.verifiers, audit, certificates=Certificates())
        self.admin = AdminAccess(self.verifiers, audit, lambda: self.access.modes)

    async def verdict(
        self,
        shown: str | None,
        endpoint: str | None,
        role: Role = Role.SCORE,
        certificate: ClientCertificate | None = None,
    ) -> str:
        """The principal's name, or the number that HTTP has for the refusal."""
        try:
            credential = None if shown is None else f"Bearer {shown}"
            return (await self.access(Presented(credential, certificate), endpoint, role)).name
        except Unauthenticated:
            return "401"
        except Forbidden:
            return "403"


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


@pytest.mark.parametrize(
    ("shown", "verdicts"),
    [
        # shown       keyed    other   tokened  entra   unknown
        (None, ["401", "401", "401", "401", "401"]),
        ("lg_wrong", ["401", "401", "401", "401", "401"]),
        (ALL, ["all", "all", "401", "401", "403"]),
        (OF_KEYED, ["keyed", "403", "401", "401", "403"]),
        (ADMIN, ["admin", "admin", "401", "401", "403"]),
        ("TOKEN", ["401", "401", "ci", "401", "401"]),
        ("eyJ.aad", ["401", "401", "401", "user", "403"]),
        ("eyJ.bad", ["401", "401", "401", "401", "401"]),
    ],
)
async def test_every_endpoint_takes_its_own_kind_alone(door: Door, shown: str | None, verdicts: list[str]) -> None:
    shown = door.token if shown == "TOKEN" else shown
    names = ["keyed", "other", "tokened", "entra", "unknown"]

    assert [await door.verdict(shown, name) for name in names] == verdicts


@pytest.mark.parametrize("certificate", [None, CERTIFICATE])
@pytest.mark.parametrize("shown", [None, "lg_wrong", ALL, OF_KEYED, ADMIN, "TOKEN", "eyJ.aad", "eyJ.bad"])
async def test_who_is_judged_at_once_is_judged_alike(
    door: Door, shown: str | None, certificate: ClientCertificate | None
) -> None:
    def at_once(endpoint: str | None) -> str | None:
        try:
            principal = door.access.at_once(Presented(credential, certificate), endpoint, Role.SCORE)
            return None if principal is None else principal.name
        except Unauthenticated as refusal:
            challenges.append(refusal.challenge)
            return "401"
        except Forbidden as refusal:
            challenges.append(refusal.challenge)
            return "403"

    challenges: list[str] = []
    shown = door.token if shown == "TOKEN" else shown
    credential = None if shown is None else f"Bearer {shown}"
    names = ["keyed", "other", "tokened", "entra", "unknown", None]
    waited = [await door.verdict(shown, name, certificate=certificate) for name in names]
    known = [at_once(name) for name in names]
    judged = 0 if shown is None and certificate is not None else 3  # the provider has to be waited for

    assert known == [*waited[:judged], *[None] * (6 - judged)]
    assert all('realm="lockgate"' in challenge for challenge in challenges)


async def test_a_refusal_at_once_is_an_audit_event_too(tmp_path: Path) -> None:
    caller = Presented(f"Bearer {OF_KEYED}", None, "192.0.2.7")
    with capture_logs() as waited, pytest.raises(Forbidden):
        await Door(tmp_path).access(caller, "other", Role.SCORE)
    with capture_logs() as events, pytest.raises(Forbidden):
        Door(tmp_path).access.at_once(caller, "other", Role.SCORE)

    assert len(events) == 1
    assert events == waited


async def test_where_there_is_one_endpoint_it_is_judged_at_once_without_its_name(tmp_path: Path) -> None:
    door = Door(tmp_path, {"keyed": "key"})
    principal = door.access.at_once(Presented(f"Bearer {OF_KEYED}"), None, Role.SCORE)

    assert principal is not None
    assert principal.name == "keyed"


async def test_a_list_shows_a_principal_what_takes_its_kind_and_nothing_else(door: Door) -> None:
    principal = await door.access(Presented(f"Bearer {ALL}"), None, Role.READ)

    assert [name for name in ("keyed", "other", "tokened", "entra") if principal.may(Role.READ, name)] == [
        "keyed",
        "other",
    ]


async def test_a_list_shows_a_token_its_own_endpoint(door: Door) -> None:
    principal = await door.access(Presented(f"Bearer {door.token}"), None, Role.READ)

    assert [name for name in ("keyed", "tokened") if principal.may(Role.READ, name)] == ["tokened"]


@pytest.mark.parametrize(("mode", "verdicts"), [("key", ["all", "401"]), ("token", ["401", "401"])])
async def test_where_no_endpoint_is_named_the_only_one_judges(
    tmp_path: Path, mode: AuthMode, verdicts: list[str]
) -> None:
    door = Door(tmp_path, {"only": mode})

    assert [await door.verdict(shown, None) for shown in (ALL, door.token)] == verdicts


async def test_a_key_of_another_endpoint_is_forbidden_where_the_only_one_is_not_named(tmp_path: Path) -> None:
    door = Door(tmp_path, {"only": "key"})

    assert await door.verdict(OF_KEYED, None) == "403"


async def test_with_one_kind_an_unknown_endpoint_is_told_only_to_those_who_may_use_all(tmp_path: Path) -> None:
    door = Door(tmp_path, {"keyed": "key", "other": "key"})

    assert [await door.verdict(shown, "unknown") for shown in (ALL, OF_KEYED, None)] == ["all", "403", "401"]


async def test_a_certificate_counts_where_no_header_was_sent(door: Door) -> None:
    verdicts = [await door.verdict(None, name, certificate=CERTIFICATE) for name in ("keyed", "other", "tokened")]

    assert verdicts == ["robot", "403", "403"]


async def test_whoever_sends_a_header_is_judged_by_it(door: Door) -> None:
    verdicts = [await door.verdict(shown, "keyed", certificate=CERTIFICATE) for shown in ("lg_wrong", ALL)]

    assert verdicts == ["401", "all"]


async def test_endpoints_can_be_replaced_while_running(door: Door) -> None:
    door.access.install({"tokened": "key"})

    assert [await door.verdict(shown, "tokened") for shown in (ALL, door.token)] == ["all", "401"]


def test_a_mode_that_nothing_verifies_is_an_error_at_the_start(door: Door) -> None:
    with pytest.raises(ConfigError, match="endpoint x: auth_mode"):
        EndpointAccess({"x": "aad_token"}, {}, Audit(clock=lambda: 0.0))


async def test_a_refusal_is_an_audit_event_and_what_is_allowed_is_none(door: Door) -> None:
    with capture_logs() as events:
        await door.verdict(ALL, "keyed")
        await door.verdict(ALL, "keyed", Role.KEYS)

    assert [(event["event"], event["who"], event["outcome"]) for event in events] == [
        ("audit.refused", "all", "forbidden")
    ]


async def test_a_name_from_the_wire_that_is_no_endpoint_is_not_told(door: Door) -> None:
    with capture_logs() as events:
        await door.verdict("lg_wrong", "lg_pasted-into-the-path")
        await door.verdict(OF_KEYED, "lg_pasted-into-the-path")

    assert [event["endpoint"] for event in events] == ["(unknown)", "(unknown)"]
    assert "lg_pasted" not in str(events)


async def test_a_verifier_without_a_challenge_gets_one_that_breaks_no_header(door: Door) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await door.access(Presented("Bearer eyJ.bad"), "entra", Role.SCORE)

    assert caught.value.challenge == (
        'Bearer realm="lockgate", error="invalid_token", error_description="a token of somebodyelse"'
    )


@pytest.mark.parametrize(
    ("shown", "name"), [(ADMIN, "admin"), (ALL, "403"), ("TOKEN", "403"), ("eyJ.aad", "user"), ("x", "401")]
)
async def test_the_admin_api_takes_keys_and_the_providers_tokens_for_every_endpoint(
    door: Door, shown: str, name: str
) -> None:
    credential = f"Bearer {door.token if shown == 'TOKEN' else shown}"
    try:
        verdict = (await door.admin(Presented(credential), "tokened", Role.KEYS)).name
    except Unauthenticated:
        verdict = "401"
    except Forbidden:
        verdict = "403"

    assert verdict == name


async def test_an_endpoint_that_was_added_is_judged_by_its_mode_at_once(door: Door) -> None:
    before = await door.verdict(ALL, "new")
    door.access.install({"keyed": "key", "entra": "aad_token", "new": "key"})

    assert (before, await door.verdict(ALL, "new")) == ("403", "all")


async def test_an_endpoint_that_was_removed_is_an_unknown_name_at_once(door: Door) -> None:
    door.access.install({"other": "key", "tokened": "token"})
    gone = [await door.verdict(shown, "keyed") for shown in (None, "lg_wrong", ALL, OF_KEYED)]
    unknown = [await door.verdict(shown, "never") for shown in (None, "lg_wrong", ALL, OF_KEYED)]

    assert gone == unknown == ["401", "401", "403", "403"]


async def test_a_token_for_an_endpoint_that_takes_keys_now_is_refused_although_it_was_good_before(door: Door) -> None:
    before = await door.verdict(door.token, "tokened")
    door.access.install({"keyed": "key", "tokened": "key"})

    assert (before, await door.verdict(door.token, "tokened")) == ("ci", "401")


async def test_what_names_no_endpoint_is_judged_by_the_only_one_that_is_left(door: Door) -> None:
    before = await door.verdict(door.token, None)
    door.access.install({"tokened": "token"})

    assert (before, await door.verdict(door.token, None), await door.verdict(ALL, None)) == ("ci", "ci", "401")


async def test_a_mode_that_nothing_verifies_changes_nothing(tmp_path: Path) -> None:
    door = Door(tmp_path)
    del door.verifiers["aad_token"]
    for change in (door.access.check, door.access.install):
        with pytest.raises(ConfigError, match="endpoint e: auth_mode"):
            change({"e": "aad_token"})

    assert await door.verdict(ALL, "keyed") == "all"


async def test_a_caller_who_waits_for_the_provider_is_judged_by_what_was_current_when_they_came(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.provider.held = asyncio.Event()
    async with asyncio.timeout(10):
        waiting = asyncio.create_task(door.verdict("eyJ.aad", "entra"))
        listing = asyncio.create_task(door.verdict("eyJ.aad", None))
        await asyncio.sleep(0)
        door.access.install({"entra": "key"})
        door.provider.held.set()
        verdicts = [await waiting, await listing]

    assert verdicts == ["user", "user"]
    assert await door.verdict("eyJ.aad", "entra") == "401"


async def test_the_admin_api_tells_the_log_of_endpoints_that_there_are_now(door: Door) -> None:
    door.access.install({"new": "key"})
    with capture_logs() as logs:
        for endpoint in ("new", "keyed"):
            with pytest.raises(Unauthenticated):
                await door.admin(Presented("Bearer lg_wrong"), endpoint, Role.KEYS)

    assert [event["endpoint"] for event in logs] == ["new", "(unknown)"]

"""A token gets in only if a provider that is trusted signed it, for us, for now; proven against a real one over TLS."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.auth.config import ClaimGrant, OidcConfig
from gateway.auth.oidc import OidcAccess
from gateway.core.access import Presented, Principal, Role
from gateway.core.errors import Forbidden, NotReady, Unauthenticated
from tests.support.oidc_provider import AUDIENCE, TENANT, Provider, forged, pair, providing, signed

SCORER = ClaimGrant(roles=[Role.SCORE])
OTHER_TENANT = "11111111-2222-4333-8444-555555555555"


class Watch:
    """Both clocks; moves when told to."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def trusting(
    provider: Provider, watch: Watch | None = None, config: OidcConfig | None = None, **settings: Any
) -> AsyncIterator[OidcAccess]:
    watch = watch or Watch()
    config = config or provider.entra(**{"grants": [SCORER], **settings})
    access = OidcAccess(config, clock=watch, wall_clock=watch)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(access.run())
        try:
            yield access
        finally:
            running.cancel()


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Provider]:
    async with providing(tmp_path) as provider:
        yield provider


async def ask(access: OidcAccess, token: str, role: Role = Role.SCORE, endpoint: str = "price") -> Principal:
    return await access(Presented(f"Bearer {token}"), endpoint, role)


async def refusal(access: OidcAccess, token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await ask(access, token)
    return str(caught.value)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
async def test_both_versions_of_entra_s_tokens_get_in(provider: Provider, version: str) -> None:
    issuer = provider.v1 if version == "1.0" else provider.v2
    async with trusting(provider) as access:
        principal = await ask(access, signed(provider.claims(iss=issuer, ver=version), pair("first")))

    assert (principal.name, principal.kind) == ("caller-1", "jwt")


async def test_any_other_provider_is_a_matter_of_its_issuer(provider: Provider) -> None:
    issuer = f"{provider.url}/realms/ours"
    config = OidcConfig(issuer=issuer, audiences=["us"], ca=provider.ca, grants=[SCORER])
    token = signed(provider.claims(iss=issuer, aud=["them", "us"], tid=None), pair("first"))
    async with trusting(provider, config=config) as access:
        principal = await ask(access, token)

    assert principal.name == "caller-1"
    assert provider.fetches == ["/realms/ours/.well-known/openid-configuration", "/keys"]


async def test_a_key_address_of_our_own_needs_no_discovery(provider: Provider) -> None:
    async with trusting(provider, jwks_uri=f"{provider.url}/keys") as access:
        await ask(access, signed(provider.claims(), pair("first")))

    assert provider.fetches == ["/keys"]


async def test_elliptic_keys_sign_too_where_that_is_configured(provider: Provider) -> None:
    provider.keys.append(pair("curve", "ES256").jwk())
    token = signed(provider.claims(), pair("curve", "ES256"))
    async with trusting(provider, algorithms=["RS256", "ES256"]) as access:
        principal = await ask(access, token)

    assert principal.name == "caller-1"


def _other_key(provider: Provider) -> str:
    return signed(provider.claims(), pair("stranger"), kid="first")


def _changed(provider: Provider) -> str:
    head, _, signature = signed(provider.claims(), pair("first")).split(".")
    return f"{head}.{signed(provider.claims(oid='admin'), pair('first')).split('.')[1]}.{signature}"


def _hmac_with(secret: Callable[[], bytes]) -> Callable[[Provider], str]:
    return lambda provider: forged({"alg": "HS256", "kid": "first"}, provider.claims(), secret())


def _claims(**changes: Any) -> Callable[[Provider], str]:
    return lambda provider: signed(provider.claims(**changes), pair("first"))


def _header(**header: Any) -> Callable[[Provider], str]:
    return lambda provider: signed(provider.claims(), pair("first"), **header)


def _unsigned(algorithm: str) -> Callable[[Provider], str]:
    return lambda provider: forged({"alg": algorithm, "kid": "first"}, provider.claims())


ALGORITHM = "the token is signed with an algorithm that is not accepted here"
UNKNOWN = "the token is signed with an unknown key"
NO_TOKEN = "expected a JSON Web Token"
NOW = int(time.time())
REFUSED: dict[str, tuple[Callable[[Provider], str], str]] = {
    "a key of their own under our name": (_other_key, "the token's signature is not valid"),
    "other claims under a genuine signature": (_changed, "the token's signature is not valid"),
    "no algorithm": (_unsigned("none"), ALGORITHM),
    "no algorithm, spelt otherwise": (_unsigned("nOnE"), ALGORITHM),
    "an empty signature": (_unsigned("RS256"), "the token's signature is not valid"),
    "an HMAC made with our public key": (_hmac_with(pair("first").pem), ALGORITHM),
    "an HMAC made with nothing": (_hmac_with(lambda: b""), ALGORITHM),
    "an algorithm that is real, but not configured": (_header(alg="RS512"), ALGORITHM),
    "a token of yesterday": (_claims(exp=NOW - 3600), "the token has expired"),
    "a token without an end": (_claims(exp=None), "the token does not say when it expires"),
    "an end that is no number": (_claims(exp="tomorrow"), "the token's exp is no time"),
    "an end that is true": (_claims(exp=True), "the token's exp is no time"),
    "an end beyond all time": (_claims(exp=10**300), "the token's exp is no time"),
    "a token of tomorrow": (_claims(nbf=NOW + 3600, exp=NOW + 7200), "the token is not valid yet"),
    "a beginning that is no number": (_claims(nbf=[1]), "the token's nbf is no time"),
    "another issuer": (_claims(iss="https://elsewhere.example"), "the token is from another issuer"),
    "no issuer": (_claims(iss=None), "the token is from another issuer"),
    "issuers in a list": (_claims(iss=["x"]), "the token is from another issuer"),
    "another tenant under our issuer": (_claims(tid=OTHER_TENANT), "the token is from another tenant"),
    "no tenant": (_claims(tid=None), "the token is from another tenant"),
    "another audience": (_claims(aud="https://graph.microsoft.com"), "the token is for another audience"),
    "our audience as a part of theirs": (_claims(aud=f"{AUDIENCE}.evil.example"), "the token is for another audience"),
    "an audience of numbers": (_claims(aud=[1, None, {}]), "the token is for another audience"),
    "no audience": (_claims(aud=None), "the token is for another audience"),
    "a kid that nobody has": (_header(kid="nobody"), UNKNOWN),
    "a kid that is a path": (_header(kid="../../../../dev/null"), UNKNOWN),
    "a kid that is a query": (_header(kid="first' OR '1'='1"), UNKNOWN),
    "a kid that is an address": (_header(kid="https://evil.example/keys"), UNKNOWN),
    "a kid without end": (_header(kid="k" * 5000), "the token does not name the key that it was signed with"),
    "an empty kid": (_header(kid=""), "the token does not name the key that it was signed with"),
    "critical headers": (_header(crit=["b64"], b64=True), "the token has critical header fields"),
    "a kid that is a number": (lambda p: forged({"alg": "RS256", "kid": 1}, p.claims()), NO_TOKEN),
    "two parts": (lambda p: "a.b", NO_TOKEN),
    "five parts": (lambda p: "a.b.c.d.e", NO_TOKEN),
    "junk": (lambda p: "!.!.!", NO_TOKEN),
    "padding": (lambda p: "e30=.e30=.", NO_TOKEN),
    "a header of no object": (lambda p: "W10.e30.", NO_TOKEN),
    "letters of another alphabet": (lambda p: "é.é.é", NO_TOKEN),
    "a depth bomb": (lambda p: f"{'W1tb' * 3000}.e30.", NO_TOKEN),
    "more than a token": (lambda p: "a" * 20_000 + ".b.c", NO_TOKEN),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_must_not_get_in_does_not(provider: Provider, name: str) -> None:
    make, reason = REFUSED[name]
    token = make(provider)
    async with trusting(provider) as access:
        said = await refusal(access, token)

    assert said.startswith(reason)
    assert token not in said


async def test_an_algorithm_that_does_not_fit_the_key_is_refused_though_configured(provider: Provider) -> None:
    provider.keys = [pair("first").jwk(alg="RS256")]
    async with trusting(provider, algorithms=["RS256", "RS512", "ES256"]) as access:
        said = await refusal(access, signed(provider.claims(), pair("first"), alg="RS512"))

    assert said == ALGORITHM


async def test_a_key_that_signs_for_another_issuer_is_refused(provider: Provider) -> None:
    provider.keys = [pair("first").jwk(issuer=f"{provider.url}/{OTHER_TENANT}/v2.0")]
    async with trusting(provider) as access:
        said = await refusal(access, signed(provider.claims(), pair("first")))

    assert said == "the token is signed with a key of another issuer"


@pytest.mark.parametrize("version", ["1.0", "2.0"])
async def test_a_key_that_signs_for_every_tenant_signs_for_ours(provider: Provider, version: str) -> None:
    provider.keys = [pair("first").jwk(issuer=f"{provider.url}/{{tenantid}}/v2.0")]
    issuer = provider.v1 if version == "1.0" else provider.v2
    async with trusting(provider) as access:
        principal = await ask(access, signed(provider.claims(iss=issuer), pair("first")))

    assert principal.name == "caller-1"


async def test_the_clocks_may_differ_by_the_leeway_and_no_more(provider: Provider) -> None:
    watch = Watch()
    late = signed(provider.claims(exp=int(watch.now) - 50), pair("first"))
    early = signed(provider.claims(nbf=int(watch.now) + 50), pair("first"))
    async with trusting(provider, watch, leeway_s=60) as access:
        names = [(await ask(access, token)).name for token in (late, early)]
    async with trusting(provider, watch, leeway_s=10) as access:
        said = [await refusal(access, token) for token in (late, early)]

    assert names == ["caller-1", "caller-1"]
    assert said == ["the token has expired", "the token is not valid yet"]


async def test_a_verdict_ends_with_its_token(provider: Provider) -> None:
    watch = Watch()
    token = signed(provider.claims(exp=int(watch.now) + 100), pair("first"))
    async with trusting(provider, watch, leeway_s=0) as access:
        await ask(access, token)
        watch.now += 99
        await ask(access, token)
        watch.now += 2
        said = await refusal(access, token)

    assert said == "the token has expired"


async def test_a_verdict_is_kept_without_its_token(provider: Provider) -> None:
    token = signed(provider.claims(), pair("first"))
    async with trusting(provider) as access:
        first = await ask(access, token)
        provider.is_away = True

        assert await ask(access, token) is first
        assert token not in repr(vars(access))


async def test_no_more_verdicts_are_kept_than_configured(provider: Provider) -> None:
    tokens = [signed(provider.claims(oid=f"caller-{i}"), pair("first")) for i in range(4)]
    async with trusting(provider, cached_tokens=2) as access:
        first = await ask(access, tokens[0])
        await ask(access, tokens[1])
        again = await ask(access, tokens[0])
        await ask(access, tokens[2])  # the one that was not used since makes way
        kept = await ask(access, tokens[0])
        await ask(access, tokens[3])
        await ask(access, tokens[2])

        assert again is first
        assert kept is first
        assert await ask(access, tokens[0]) is not first


async def test_claims_become_roles(provider: Provider) -> None:
    grants = [
        ClaimGrant(claim="roles", value="Model.Score", roles=[Role.SCORE], endpoints=["price"]),
        ClaimGrant(claim="groups", value="ops", roles=[Role.DEPLOY]),
        ClaimGrant(claim="scp", value="user_impersonation", roles=[Role.READ], endpoints=["price", "churn"]),
    ]
    claims = provider.claims(roles=["Model.Score"], groups=["ops", 7], scp="openid user_impersonation")
    async with trusting(provider, grants=grants) as access:
        principal = await access.principal(signed(claims, pair("first")))

    assert [principal.may(role, "price") for role in Role] == [True, True, True, False, False]
    assert [principal.may(role, "other") for role in Role] == [False, True, True, False, False]


@pytest.mark.parametrize(
    "claims",
    [{}, {"roles": "Model.ScoreX"}, {"roles": {"Model.Score": True}}, {"roles": [["Model.Score"]]}, {"wids": ["x"]}],
)
async def test_a_token_whose_claims_say_nothing_of_use_may_nothing(provider: Provider, claims: dict[str, Any]) -> None:
    grants = [ClaimGrant(claim="roles", value="Model.Score", roles=[Role.SCORE])]
    async with trusting(provider, grants=grants) as access:
        with pytest.raises(Forbidden):
            await ask(access, signed(provider.claims(**claims), pair("first")))


@pytest.mark.parametrize("credential", [None, "", "Bearer", "Bearer ", "Basic dTpw", "Bearer\ta.b.c"])
async def test_what_is_no_bearer_token_is_unauthenticated(provider: Provider, credential: str | None) -> None:
    async with trusting(provider) as access:
        with pytest.raises(Unauthenticated):
            await access(Presented(credential), "price", Role.SCORE)


async def test_a_client_is_told_to_get_a_new_token_when_the_old_one_has_expired(provider: Provider) -> None:
    async with trusting(provider) as access:
        with pytest.raises(Unauthenticated) as caught:
            await ask(access, signed(provider.claims(exp=1), pair("first")))

    assert 'error="invalid_token", error_description="the token has expired"' in caught.value.challenge


async def test_a_refusal_names_the_caller_and_not_the_token(provider: Provider) -> None:
    token = signed(provider.claims(), pair("first"))
    async with trusting(provider, grants=[ClaimGrant(roles=[Role.READ])]) as access:
        with pytest.raises(Forbidden) as caught:
            await ask(access, token)

    assert caught.value.who == "caller-1"
    assert 'error="insufficient_scope"' in caught.value.challenge
    assert token not in repr(vars(caught.value)) + str(caught.value)


# --- the provider's keys -------------------------------------------------------------------------------------------


async def test_a_new_key_is_fetched_when_a_token_first_names_it(provider: Provider) -> None:
    watch = Watch()
    async with trusting(provider, watch) as access:
        await ask(access, signed(provider.claims(), pair("first")))
        provider.keys = [pair("first").jwk(), pair("second").jwk()]
        watch.now += 31
        principal = await ask(access, signed(provider.claims(oid="caller-2"), pair("second")))

    assert principal.name == "caller-2"


async def test_keys_that_nobody_has_cause_one_fetch_in_their_interval(provider: Provider) -> None:
    watch = Watch()
    async with trusting(provider, watch) as access:
        await ask(access, signed(provider.claims(), pair("first")))
        before = provider.fetches.count("/keys")
        watch.now += 31
        for i in range(50):
            await refusal(access, signed(provider.claims(), pair("first"), kid=f"guess-{i}"))

        assert provider.fetches.count("/keys") == before + 1


async def test_who_asks_together_waits_for_one_fetch(provider: Provider) -> None:
    provider.held = asyncio.Event()
    async with trusting(provider) as access, asyncio.TaskGroup() as callers:
        asking = [
            callers.create_task(ask(access, signed(provider.claims(oid=f"caller-{i}"), pair("first"))))
            for i in range(20)
        ]
        await provider.asked.wait()
        provider.held.set()
        names = [(await each).name for each in asking]

    assert names == [f"caller-{i}" for i in range(20)]
    assert provider.fetches.count("/keys") == 1


async def test_a_key_that_is_taken_back_takes_its_verdicts_along(provider: Provider) -> None:
    watch = Watch()
    token = signed(provider.claims(), pair("first"))
    async with trusting(provider, watch) as access:
        await ask(access, token)
        provider.keys = [pair("second").jwk()]
        watch.now += 31
        await ask(access, signed(provider.claims(), pair("second")))
        said = await refusal(access, token)

    assert said == UNKNOWN


async def test_the_last_good_keys_stay_while_the_provider_is_away(provider: Provider) -> None:
    watch = Watch()
    async with trusting(provider, watch) as access:
        await ask(access, signed(provider.claims(), pair("first")))
        provider.is_away = True
        watch.now += 31
        unknown = await refusal(access, signed(provider.claims(), pair("second")))
        known = await ask(access, signed(provider.claims(oid="caller-2"), pair("first")))

    assert (unknown, known.name) == (UNKNOWN, "caller-2")


async def test_a_provider_that_is_away_at_the_start_is_no_verdict_on_anybody(provider: Provider) -> None:
    provider.is_away = True
    watch = Watch()
    token = signed(provider.claims(), pair("first"))
    async with trusting(provider, watch) as access:
        with pytest.raises(NotReady):
            await ask(access, token)
        provider.is_away = False
        watch.now += 2
        principal = await ask(access, token)

    assert principal.name == "caller-1"


def _moved(where: str) -> Callable[[Provider], web.Response]:
    return lambda provider: web.Response(status=302, headers={"Location": f"{provider.url}{where}"})


def _keys(*keys: dict[str, Any], padding: int = 0) -> Callable[[Provider], web.Response]:
    return lambda provider: web.Response(body=json.dumps({"keys": keys}).encode() + b" " * padding)


def _json(document: object) -> Callable[[Provider], web.Response]:
    return lambda provider: web.json_response(document)


DISCOVERY = f"/{TENANT}/v2.0/.well-known/openid-configuration"
GOOD = pair("first").jwk()
# Each would give keys, were it not for the one thing that is wrong with it.
UNTRUSTED: dict[str, tuple[str, Callable[[Provider], web.Response]]] = {
    "keys behind a redirect": ("/keys", _moved("/good-keys")),
    "a discovery document behind a redirect": (DISCOVERY, _moved("/good-discovery")),
    "a discovery document of another issuer": (
        DISCOVERY,
        lambda provider: web.json_response({"issuer": "https://evil.example", "jwks_uri": f"{provider.url}/keys"}),
    ),
    "a document of no object": (DISCOVERY, _json([])),
    "a document without keys": (DISCOVERY, lambda provider: web.json_response({"issuer": provider.v2})),
    "no JSON": ("/keys", lambda provider: web.Response(text="<html>")),
    "another status": ("/keys", lambda provider: web.json_response({"keys": [GOOD]}, status=201)),
    "no key set": ("/keys", _json({"keys": 1})),
    "no key that signs": ("/keys", _keys({**GOOD, "use": "enc"})),
    "a weak key": ("/keys", _keys(pair("weak", bits=1024).jwk(kid="first"))),
    "a shared secret": ("/keys", _keys({"kty": "oct", "kid": "first", "k": "c2VjcmV0"})),
    "keys without a name": ("/keys", _keys({**GOOD, "kid": None})),
    "keys without end": ("/keys", _keys(GOOD, padding=600_000)),
}


@pytest.mark.parametrize("name", UNTRUSTED)
async def test_what_is_not_to_be_trusted_brings_no_keys(provider: Provider, name: str) -> None:
    path, response = UNTRUSTED[name]
    provider.answers["/good-keys"] = _keys(GOOD)(provider)
    provider.answers["/good-discovery"] = web.json_response({"issuer": provider.v2, "jwks_uri": f"{provider.url}/keys"})
    provider.answers[path] = response(provider)
    async with trusting(provider) as access:
        with pytest.raises(NotReady):
            await ask(access, signed(provider.claims(), pair("first")))


async def test_a_clear_text_key_address_in_the_document_is_not_followed(provider: Provider) -> None:
    provider.answers[DISCOVERY] = web.json_response(
        {"issuer": provider.v2, "jwks_uri": f"http://localhost:{provider.port}/keys"}
    )
    async with trusting(provider) as access:
        with pytest.raises(NotReady):
            await ask(access, signed(provider.claims(), pair("first")))


async def test_a_provider_with_a_certificate_of_somebody_else_brings_no_keys(
    provider: Provider, tmp_path: Path
) -> None:
    async with trusting(provider, ca=None) as access:
        with pytest.raises(NotReady):
            await ask(access, signed(provider.claims(), pair("first")))

    assert provider.fetches == []


async def test_a_provider_that_does_not_answer_is_not_waited_for_for_ever(provider: Provider) -> None:
    provider.held = asyncio.Event()
    async with trusting(provider, timeout_ms=20) as access:
        with pytest.raises(NotReady):
            await ask(access, signed(provider.claims(), pair("first")))


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's way out is: the provider is here."""
    monkeypatch.setenv("NO_PROXY", "localhost")

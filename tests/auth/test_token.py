"""A token is good for its endpoint, until it ends, if we signed it; whatever else it says of itself decides nothing."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from gateway.auth.token import IssuedToken, TokenAccess, is_of_lockgate, issue_token
from gateway.auth.token_keys import LONGEST, rotate_token_key, signing_key
from gateway.core.access import Presented, Principal, Role
from gateway.core.errors import ConfigError, Forbidden, Unauthenticated

NOW = 1_000_000.0


class Tokens:
    """Real keys in a real folder; ``now`` is the clock."""

    def __init__(self, folder: Path, verdicts: int = 100) -> None:
        self.now = NOW
        self.file = folder / "token-keys.json"
        self.access = TokenAccess(self.file, clock=lambda: self.now, leeway=30, verdicts=verdicts)

    def issue(self, endpoint: str = "a", lifetime: int = 3600, now: float | None = None) -> str:
        return self.issued(endpoint, lifetime, now).accessToken

    def issued(self, endpoint: str = "a", lifetime: int = 3600, now: float | None = None) -> IssuedToken:
        now = self.now if now is None else now
        return issue_token(signing_key(self.file, now), endpoint, "ci", now=now, lifetime=lifetime)

    def forge(self, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """Signed with our key, but saying something else; None leaves a claim out."""
        key = signing_key(self.file, self.now)
        said = {"iss": "lockgate", "aud": "a", "sub": "ci", "iat": int(NOW), "exp": int(NOW) + 60, **claims}
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, key.private, "ES256", headers={"kid": key.kid, **(headers or {})})

    async def ask(self, token: str, endpoint: str | None = "a", role: Role = Role.SCORE) -> Principal:
        return await self.access(Presented(f"Bearer {token}"), endpoint, role)

    async def refusal(self, token: str, endpoint: str | None = "a") -> Unauthenticated:
        with pytest.raises(Unauthenticated) as caught:
            await self.ask(token, endpoint)
        assert token not in f"{caught.value}{caught.value.challenge}"
        return caught.value


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path)


async def test_a_token_scores_its_endpoint_and_names_whom_it_was_given(tokens: Tokens) -> None:
    principal = await tokens.ask(tokens.issue())

    assert (principal.name, principal.kind, principal.may(Role.SCORE, "b")) == ("ci", "token", False)


def test_what_is_issued_has_azures_words_and_times(tokens: Tokens) -> None:
    issued = tokens.issued(lifetime=600)

    assert (issued.expiryTimeUtc, issued.refreshAfterTimeUtc) == (int(NOW) + 600, int(NOW) + 300)
    assert issued.tokenType == "Bearer"


async def test_a_token_for_another_endpoint_is_refused(tokens: Tokens) -> None:
    refusal = await tokens.refusal(tokens.issue("b"))

    assert 'error_description="the token is for another endpoint"' in refusal.challenge


async def test_a_token_gives_no_other_role(tokens: Tokens) -> None:
    with pytest.raises(Forbidden):
        await tokens.ask(tokens.issue(), role=Role.KEYS)


async def test_a_token_ends_when_it_says_and_a_little_later(tokens: Tokens) -> None:
    token = tokens.issue(lifetime=60)
    tokens.now = NOW + 89.9
    principal = await tokens.ask(token)
    tokens.now = NOW + 90
    refusal = await tokens.refusal(token)
    again = await tokens.refusal(token)

    assert principal.name == "ci"
    assert str(refusal) == str(again) == "the token has expired"
    assert 'error="invalid_token", error_description="the token has expired"' in refusal.challenge


async def test_a_token_of_a_clock_that_is_ahead_is_taken_within_the_leeway_only(tokens: Tokens) -> None:
    principal = await tokens.ask(tokens.issue(now=NOW + 30))
    refusal = await tokens.refusal(tokens.issue(now=NOW + 31))

    assert (principal.name, str(refusal)) == ("ci", "the token is not valid yet")


@pytest.mark.parametrize(
    "token",
    ["x", "a.b.c", "eyJ.eyJ.sig", "..", "eyJhbGciOiJFUzI1NiJ9", "\udcff.\udcff.\udcff", "é.é.é", "a" * 4000],
)
async def test_what_is_no_token_is_malformed_and_told_apart_from_an_expired_one(tokens: Tokens, token: str) -> None:
    refusal = await tokens.refusal(token)

    assert 'error="invalid_token", error_description="the token is malformed"' in refusal.challenge


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "iat", "exp"])
async def test_a_claim_that_is_missing_makes_it_malformed(tokens: Tokens, claim: str) -> None:
    assert str(await tokens.refusal(tokens.forge(**{claim: None}))) == "the token is malformed"


@pytest.mark.parametrize("claims", [{"aud": ["a", "b"]}, {"exp": "soon"}, {"exp": 1e400}, {"iss": "other"}])
async def test_a_claim_of_another_kind_makes_it_malformed(tokens: Tokens, claims: dict[str, Any]) -> None:
    assert str(await tokens.refusal(tokens.forge(**claims))) == "the token is malformed"


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


async def test_an_unsigned_token_is_refused(tokens: Tokens) -> None:
    kid = signing_key(tokens.file, NOW).kid
    body = tokens.issue().split(".")[1]
    for algorithm in ("none", "None", "NONE"):
        refusal = await tokens.refusal(f"{encoded({'alg': algorithm, 'kid': kid})}.{body}.")

        assert "error=" in refusal.challenge


async def test_a_token_signed_by_hmac_with_the_public_key_is_refused(tokens: Tokens) -> None:
    import hashlib
    import hmac

    key = signing_key(tokens.file, NOW)
    public = key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    body = f"{encoded({'alg': 'HS256', 'kid': key.kid})}.{tokens.issue().split('.')[1]}"
    mac = base64.urlsafe_b64encode(hmac.digest(public, body.encode(), hashlib.sha256)).decode().rstrip("=")
    refusal = await tokens.refusal(f"{body}.{mac}")

    assert str(refusal) == "the token was not signed here, or its key is no longer valid"


@pytest.mark.parametrize("kid", ["", "../../etc/passwd", "' or 1=1 --", 7, None, ["x"]])
async def test_a_key_id_from_outside_finds_nothing(tokens: Tokens, kid: object) -> None:
    foreign = ec.generate_private_key(ec.SECP256R1())
    claims = {"iss": "lockgate", "aud": "a", "sub": "x", "iat": int(NOW), "exp": int(NOW) + 60}
    token = jwt.encode(claims, foreign, "ES256")
    _, body, signature = token.split(".")
    refusal = await tokens.refusal(f"{encoded({'alg': 'ES256', 'kid': kid, 'jwk': {}, 'jku': 'x'})}.{body}.{signature}")

    assert "invalid_token" in refusal.challenge


async def test_a_token_that_somebody_else_signed_under_our_kid_is_refused(tokens: Tokens) -> None:
    tokens.issue()
    claims = {"iss": "lockgate", "aud": "a", "sub": "x", "iat": int(NOW), "exp": int(NOW) + 60}
    foreign = ec.generate_private_key(ec.SECP256R1())
    token = jwt.encode(claims, foreign, "ES256", headers={"kid": signing_key(tokens.file, NOW).kid})

    assert "not signed here" in str(await tokens.refusal(token))


async def test_turning_the_key_over_leaves_old_tokens_valid_and_signs_new_ones_with_the_new_key(tokens: Tokens) -> None:
    old = tokens.issue()
    await tokens.ask(old)
    kid = rotate_token_key(tokens.file, NOW)
    new = tokens.issue()
    names = [(await tokens.ask(token)).name for token in (new, old)]

    assert names == ["ci", "ci"]
    assert jwt.get_unverified_header(new)["kid"] == kid != jwt.get_unverified_header(old)["kid"]


async def test_keys_leave_when_no_token_of_theirs_can_be_valid(tokens: Tokens) -> None:
    old = tokens.issue()
    rotate_token_key(tokens.file, NOW)
    rotate_token_key(tokens.file, NOW + LONGEST - 1)
    tokens.access.refresh()
    kept = await tokens.ask(old)
    rotate_token_key(tokens.file, NOW + LONGEST)
    tokens.access.refresh()

    assert kept.name == "ci"
    assert "no longer valid" in str(await tokens.refusal(old))


async def test_revoking_all_takes_verdicts_back_that_were_given_before(tokens: Tokens) -> None:
    old = tokens.issue()
    await tokens.ask(old)
    rotate_token_key(tokens.file, NOW, keep_old=False)
    tokens.access.refresh()

    assert "no longer valid" in str(await tokens.refusal(old))


async def test_a_broken_file_of_keys_is_refused_and_the_old_keys_stay(tokens: Tokens) -> None:
    token = tokens.issue()
    await tokens.ask(token)
    tokens.file.write_text('{"token_keys": [{"kid": "x", "private": "no", "created": 1}]}')
    tokens.access.refresh()

    assert (await tokens.ask(token)).name == "ci"


async def test_a_revocation_that_could_not_be_read_holds_once_it_can_and_is_told_of_once(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> list[Any]:
        raise ConfigError(str(path), "cannot be read: Too many open files")

    token = tokens.issue()
    await tokens.ask(token)
    rotate_token_key(tokens.file, NOW, keep_old=False)
    with capture_logs() as events, monkeypatch.context() as patch:
        patch.setattr("gateway.auth.token_keys._read", fail)
        tokens.access.refresh()
        tokens.access.refresh()
    tokens.access.refresh()

    assert [event["event"] for event in events] == ["auth.token_keys_refused"]
    assert "no longer valid" in str(await tokens.refusal(token))


async def test_verdicts_are_bounded_and_what_made_way_is_judged_anew(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path, verdicts=2)
    issued = [tokens.issue() for _ in range(5)]
    for token in issued:
        await tokens.ask(token)

    assert len(tokens.access._verdicts) == 2
    assert (await tokens.ask(issued[0])).name == "ci"


def test_the_file_of_keys_is_its_owners(tokens: Tokens) -> None:
    tokens.issue()

    assert tokens.file.stat().st_mode & 0o777 == 0o600


def test_a_token_of_ours_is_known_by_its_issuer(tokens: Tokens) -> None:
    other = jwt.encode({"iss": "https://issuer"}, "k" * 32, "HS256")

    assert [is_of_lockgate(token) for token in (tokens.issue(), other, "x.y.z", "\udcff")] == [
        True,
        False,
        False,
        False,
    ]

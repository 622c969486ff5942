"""
Which proof an endpoint takes, and who is turned away.

Each endpoint has one ``auth_mode``; a request is judged by the verifier of its endpoint, and where the wire names none
and there is only one, by that one's. What belongs to no single endpoint, such as a list of models, is judged by the
form of what was shown, and only for the endpoints that take that form. A client certificate counts where no
``Authorization`` header was sent: whoever sends one wants to be judged by it. What nothing allows is refused, and every
refusal is an audit event.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gateway.auth.audit import Audit
from gateway.auth.bearer import challenge, forbidden, invalid, missing
from gateway.auth.passes import Passes
from gateway.auth.policy import narrowed
from gateway.auth.token import is_of_lockgate
from gateway.control.endpoints import AuthMode
from gateway.core.access import Access, Caller, Principal, Role
from gateway.core.errors import ConfigError, Forbidden, Unauthenticated

__all__ = ["AdminAccess", "EndpointAccess", "Verifiers"]

_PLAIN = "Bearer"
_SAFE = frozenset(" !#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~")
"""What may stand in a quoted string of a header."""

Verifiers = Mapping[AuthMode, Access]


@runtime_checkable
class Judge(Protocol):
    """An ``Access`` that never waits; asked directly, it costs a tenth of a microsecond less."""

    def judge(self, caller: Caller, endpoint: str | None, role: Role) -> Principal: ...


class EndpointAccess:
    """
    Implements ``gateway.core.access.PromptAccess`` for what is served to callers: each is judged whole by what the
    endpoints take at the moment that they come. Whom it lets in to score it tells ``passes``.

    Raises ``ConfigError`` for an endpoint whose mode nothing verifies.
    """

    def __init__(
        self,
        modes: Mapping[str, AuthMode],
        verifiers: Verifiers,
        audit: Audit,
        *,
        certificates: Access | None = None,
        passes: Passes | None = None,
    ) -> None:
        self._verifiers, self._audit, self._certificates, self._passes = verifiers, audit, certificates, passes
        self._rules = _rules(modes, verifiers)

    @property
    def modes(self) -> Mapping[str, AuthMode]:
        """Of the endpoints that there are."""
        return self._rules.modes

    def check(self, modes: Mapping[str, AuthMode]) -> None:
        """Whether ``install`` would take them; raises ``ConfigError``."""
        _rules(modes, self._verifiers)

    def install(self, modes: Mapping[str, AuthMode]) -> None:
        """Judge by these endpoints from now on."""
        self._rules = _rules(modes, self._verifiers)
        if self._passes is not None:
            self._passes.forget()

    def at_once(self, caller: Caller, endpoint: str | None, role: Role) -> Principal | None:
        """See ``PromptAccess``."""
        rules, named = self._rules, endpoint
        if endpoint is None:
            endpoint = rules.only
        judge = rules.judges.get(endpoint)
        if judge is None or (caller.credential is None and caller.certificate is not None):
            return None
        try:
            principal = judge(caller, endpoint, role)
        except (Unauthenticated, Forbidden) as refusal:
            self._refused(refusal, caller, endpoint, role, rules)
            raise
        if role is Role.SCORE and self._passes is not None:
            self._passes.grant(caller.credential, named, principal)
        return principal

    async def __call__(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        """See ``Access``."""
        rules = self._rules
        if endpoint is None:
            endpoint = rules.only
        try:
            if caller.credential is None and caller.certificate is not None and self._certificates is not None:
                return await self._certificates(caller, endpoint, role)
            if endpoint in rules.judges:
                return rules.judges[endpoint](caller, endpoint, role)
            verify = rules.by_endpoint.get(endpoint) if endpoint is not None else None
            if verify is None:
                return await self._of_no_endpoint(rules, caller, endpoint, role)
            return await verify(caller, endpoint, role)
        except (Unauthenticated, Forbidden) as refusal:
            self._refused(refusal, caller, endpoint, role, rules)
            raise

    def _refused(
        self, refusal: Unauthenticated | Forbidden, caller: Caller, endpoint: str | None, role: Role, rules: _Rules
    ) -> None:
        _complete(refusal, caller)
        self._audit.refused(caller, _told(endpoint, rules.modes), role, refusal)

    async def _of_no_endpoint(self, rules: _Rules, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        """A list, or a name that we do not know: it must not be told from one that the caller may not use."""
        mode = rules.same or _form_of(caller.credential, self._verifiers)
        principal = await self._verifiers[mode](caller, endpoint, role)
        if rules.same is None:
            principal = narrowed(principal, rules.takers[mode])
        if not principal.may(role, endpoint):
            raise forbidden(_WORDS[mode], role, endpoint, principal.name)
        return principal


class AdminAccess:
    """
    Implements ``gateway.core.access.Access`` for the admin API: whatever an endpoint takes, its keys are managed with a
    key, or a token of the identity provider, that has the role. ``endpoints`` gives those that there are.
    """

    def __init__(self, verifiers: Verifiers, audit: Audit, endpoints: Callable[[], Container[str]]) -> None:
        self._verifiers, self._audit, self._endpoints = verifiers, audit, endpoints

    async def __call__(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        """See ``Access``."""
        try:
            return await self._verifiers[_form_of(caller.credential, self._verifiers)](caller, endpoint, role)
        except (Unauthenticated, Forbidden) as refusal:
            _complete(refusal, caller)
            self._audit.refused(caller, _told(endpoint, self._endpoints()), role, refusal)
            raise


@dataclass(frozen=True, slots=True)
class _Rules:
    """What follows from the modes of all endpoints; replaced whole."""

    modes: Mapping[str, AuthMode]
    by_endpoint: Mapping[str, Access]
    judges: Mapping[str | None, Callable[[Caller, str | None, Role], Principal]]
    """Those of them that never wait."""
    only: str | None
    same: AuthMode | None
    """Where all take the same, nothing has to be taken away from anybody."""
    takers: Mapping[AuthMode, frozenset[str]]


def _rules(modes: Mapping[str, AuthMode], verifiers: Verifiers) -> _Rules:
    """Raises ``ConfigError``."""
    for endpoint, mode in modes.items():
        if mode not in verifiers:
            raise ConfigError(f"endpoint {endpoint}", f'auth_mode: expected settings for "{mode}" (auth.oidc)')
    by_endpoint = {endpoint: verifiers[mode] for endpoint, mode in modes.items()}
    judges = {mode: verifier.judge for mode, verifier in verifiers.items() if isinstance(verifier, Judge)}
    kinds = set(modes.values())
    return _Rules(
        modes=dict(modes),
        by_endpoint=by_endpoint,
        judges={endpoint: judges[mode] for endpoint, mode in modes.items() if mode in judges},
        only=next(iter(modes)) if len(modes) == 1 else None,
        same=next(iter(kinds)) if len(kinds) == 1 else None,
        takers={mode: frozenset(name for name, wanted in modes.items() if wanted == mode) for mode in verifiers},
    )


_WORDS: Mapping[AuthMode, str] = {"key": "key", "token": "token", "aad_token": "token"}


def _form_of(credential: str | None, verifiers: Verifiers) -> AuthMode:
    """What the credential looks like. It decides only who is asked: whoever is asked checks everything."""
    if credential is None or not credential[7:].startswith("eyJ"):
        return "key"
    if "token" in verifiers and is_of_lockgate(credential[7:]):
        return "token"
    return "aad_token" if "aad_token" in verifiers else "token" if "token" in verifiers else "key"


def _told(endpoint: str | None, known: Container[str]) -> str | None:
    """What the log may say of an endpoint that a caller named."""
    return endpoint if endpoint is None or endpoint in known else "(unknown)"


def _complete(refusal: Unauthenticated | Forbidden, caller: Caller) -> None:
    """A challenge for a refusal that brought none of its own."""
    if refusal.challenge != _PLAIN:
        return
    if isinstance(refusal, Forbidden):
        refusal.challenge = challenge("insufficient_scope")
    elif caller.credential is None:
        refusal.challenge = missing("").challenge
    else:
        refusal.challenge = invalid("".join(letter for letter in str(refusal) if letter in _SAFE)).challenge

"""What a token's claims allow here: the settings' rules applied to one set of claims. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.auth.config import ClaimGrant
from gateway.core.access import Grant, Principal

__all__ = ["ClaimRules"]

_MAX_NAME = 128
_ANONYMOUS = "unnamed"


class ClaimRules:
    """Made once from the settings; all tokens that satisfy a rule share its grant."""

    def __init__(self, rules: Sequence[ClaimGrant]) -> None:
        self._rules = [
            (rule.claim, rule.value, Grant(frozenset(rule.roles), _endpoints(rule.endpoints))) for rule in rules
        ]

    def principal(self, claims: Mapping[str, Any]) -> Principal:
        """Whoever the claims are about; without a rule that fits they are known and may do nothing."""
        grants = tuple(grant for claim, value, grant in self._rules if not claim or value in _values(claims.get(claim)))
        return Principal(_name(claims), grants, "jwt")


def _endpoints(names: Sequence[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _values(claim: Any) -> Sequence[str]:
    """``roles`` and ``groups`` are lists, ``scp`` and ``scope`` words in one text (RFC 8693 §4.2)."""
    if isinstance(claim, str):
        return [claim, *claim.split(" ")]
    if isinstance(claim, list):
        return [each for each in claim if isinstance(each, str)]
    return ()


def _name(claims: Mapping[str, Any]) -> str:
    """
    What logs call the caller: Entra's object id, else the subject, else the application. Never a name or an address.

    A line break in it must not become one in a log that is not JSON.
    """
    for claim in ("oid", "sub", "azp", "appid", "client_id"):
        name = claims.get(claim)
        if isinstance(name, str) and name:
            return "".join(letter if letter.isprintable() else "?" for letter in name[:_MAX_NAME])
    return _ANONYMOUS

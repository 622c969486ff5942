"""
The ``Authorization`` header, and what to answer when it does not do.

RFC 6750 lets a client tell apart what it must do: show a credential (no error code), repair its request
(``invalid_request``), get a new credential (``invalid_token``) or ask for more rights (``insufficient_scope``). All
texts here are ours: nothing that a caller sent goes into a header or a message.
"""

from __future__ import annotations

from gateway.core.access import Role
from gateway.core.errors import Forbidden, Unauthenticated

__all__ = ["bearer", "challenge", "forbidden", "invalid", "missing"]

_REALM = 'Bearer realm="lockgate"'


def bearer(credential: str | None, what: str) -> str:
    """What stands after ``Bearer``; the scheme's case does not matter (RFC 9110). Raises ``Unauthenticated``."""
    if credential is None:
        raise missing(what)
    if credential[:7] == "Bearer ":  # how everybody writes it
        text = credential[7:].strip()
    else:
        scheme, _, text = credential.partition(" ")
        text = text.strip() if scheme.lower() == "bearer" else ""
    if not text:
        problem = f"expected an Authorization header of the form: Bearer <{what}>"
        raise Unauthenticated(problem, challenge("invalid_request", "expected: Bearer credential"))
    return text


def missing(what: str) -> Unauthenticated:
    """Nothing was shown."""
    return Unauthenticated(f"expected an Authorization header: Bearer <{what}>", challenge())


def invalid(problem: str, who: str = "") -> Unauthenticated:
    """Something was shown that is not valid here, or not any more; ``problem`` is a text of ours."""
    return Unauthenticated(problem, challenge("invalid_token", problem), who)


def forbidden(what: str, role: Role, endpoint: str | None, who: str = "") -> Forbidden:
    """A valid ``what`` (key, token) without the role."""
    where = f' on endpoint "{endpoint[:64]}"' if endpoint else ""
    return Forbidden(
        f"the {what} does not hold the role {role}{where}", challenge("insufficient_scope", scope=role), who
    )


def challenge(error: str = "", description: str = "", scope: str = "") -> str:
    """The value of ``WWW-Authenticate``."""
    said = {"error": error, "error_description": description, "scope": scope}
    return ", ".join([_REALM, *(f'{name}="{text}"' for name, text in said.items() if text)])

"""
Everything that can go wrong with one request, each named once.

An error says *what happened* and whether trying again can help. It never says which status code a client sees:
``gateway.edge.status`` owns that for HTTP and gRPC alike. Add a class only when some caller would act on it
differently. The text of every error is safe to show to the caller: no credential, no stack, no path of this machine.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BadFeatures",
    "Cancelled",
    "ConfigError",
    "DeadlineExceeded",
    "FeaturesUnavailable",
    "Forbidden",
    "GatewayError",
    "InvalidInput",
    "MethodNotAllowed",
    "ModelFailed",
    "NotFound",
    "NotReady",
    "NotSupported",
    "OutOfService",
    "Overloaded",
    "TooLarge",
    "Unauthenticated",
    "UnsupportedMedia",
    "WorkerFailed",
]


class GatewayError(Exception):
    """Base of every error raised on purpose; its text is safe to show."""

    retryable: ClassVar[bool] = False


class InvalidInput(GatewayError):
    """The request cannot be understood or does not fit the model; nothing was computed."""


class Unauthenticated(GatewayError):
    """
    No credential, or one that is not valid here. ``challenge`` goes out as ``WWW-Authenticate`` (RFC 9110).

    ``who`` is a principal's name, where one is known, for the audit trail.
    """

    def __init__(self, message: str, challenge: str = "Bearer", who: str = "") -> None:
        super().__init__(message)
        self.challenge, self.who = challenge, who


class Forbidden(GatewayError):
    """A valid credential that may not do this. ``challenge`` and ``who`` as above."""

    def __init__(self, message: str, challenge: str = "Bearer", who: str = "") -> None:
        super().__init__(message)
        self.challenge, self.who = challenge, who


class NotFound(GatewayError):
    """No such endpoint, deployment or route."""


class OutOfService(NotFound):
    """The endpoint exists, but all its weights are 0."""


class MethodNotAllowed(GatewayError):
    """The route exists for other HTTP methods; ``allowed`` names them."""

    def __init__(self, message: str, allowed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allowed = allowed


class UnsupportedMedia(GatewayError):
    """A content type or encoding that this route does not read."""


class TooLarge(GatewayError):
    """More bytes or rows than the limits allow."""


class NotSupported(GatewayError):
    """A known operation that this gateway does not offer."""


class NotReady(GatewayError):
    """The deployment exists, but no worker of it can serve at the moment."""

    retryable = True


class Overloaded(GatewayError):
    """Refused before any work was done, so trying elsewhere is safe. ``retry_after`` is in seconds."""

    retryable = True

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class FeaturesUnavailable(GatewayError):
    """The feature store cannot be asked, and the view's policy is to fail then."""

    retryable = True


class BadFeatures(GatewayError):
    """What the feature store holds may not be used: too old, damaged, or nothing that the model takes."""


class DeadlineExceeded(GatewayError):
    """The caller's time ran out, in the queue or while computing."""


class Cancelled(GatewayError):
    """The caller went away; nobody reads this."""


class ModelFailed(GatewayError):
    """The model itself raised; ``kind`` is the runtime's own class of error, such as ``simpleError``."""

    def __init__(self, message: str, kind: str = "error") -> None:
        super().__init__(message)
        self.kind = kind


class WorkerFailed(GatewayError):
    """The worker died, hung or broke the protocol before it answered."""

    retryable = True


class ConfigError(GatewayError):
    """A setting is wrong: ``where`` names the file and key, the text what was expected."""

    def __init__(self, where: str, expected: str) -> None:
        super().__init__(f"{where}: {expected}")
        self.where = where

"""What an error becomes on HTTP routes that speak nobody's dialect, such as those of the admin API."""

from __future__ import annotations

from gateway.edge.status import status_of

__all__ = ["plain_status"]


def plain_status(error: BaseException) -> tuple[int, str]:
    """The status and the code word."""
    status = status_of(error)
    return status.http, status.word

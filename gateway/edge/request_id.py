"""
The two ids of a request: the caller's, echoed if it is harmless, and ours, always fresh.

Azure takes ``[A-Za-z0-9_-]`` and cuts at 40 characters; azmlinfsrv answers 431 beyond 100. An id with any other
character is not echoed at all, so that no header can be smuggled through it.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Mapping
from uuid import uuid4

from gateway.edge.errors import HeaderTooLarge
from gateway.edge.status import Personality

__all__ = ["caller_id", "new_ids"]

_HARMLESS = re.compile(r"[A-Za-z0-9_-]{1,40}")
_HEADERS = ("x-ms-client-request-id", "x-ms-request-id", "x-request-id")
_AZMLINFSRV_LIMIT = 100


def caller_id(headers: Mapping[str, str], personality: Personality) -> str:
    """The caller's own id as it may be echoed and logged, or empty."""
    if personality == "azmlinfsrv":
        for name in _HEADERS:
            if len(headers.get(name, "")) > _AZMLINFSRV_LIMIT:
                raise HeaderTooLarge(f"{name}: expected at most {_AZMLINFSRV_LIMIT} characters")
    # x-ms-request-id is the older name of the same thing.
    sent = headers.get("x-ms-client-request-id") or headers.get("x-ms-request-id")
    if sent is None:
        return ""
    sent = sent[:40]
    return sent if _HARMLESS.fullmatch(sent) else ""


def new_ids() -> Callable[[], str]:
    """
    A source of ids in the form of a version 4 UUID, at a fraction of ``uuid4``'s cost.

    74 random bits per process and a counter: unique, but not to be used where an id must not be guessed. No line of
    Python runs for one: ``map`` fills the numbers in.
    """
    start = uuid4().hex
    form = f"{start[:8]}-{start[8:12]}-{start[12:16]}-{start[16:20]}-%012x"
    return map(form.__mod__, itertools.count(int.from_bytes(os.urandom(5), "big"))).__next__

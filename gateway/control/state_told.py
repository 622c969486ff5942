"""
What is told of the state to whoever may read some endpoints only: nothing of who did what elsewhere. Pure.

Reasons are text for people, and may name endpoints, views, files and callers of others. They are told as they are only
where they begin with an endpoint that the caller may read and name no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gateway.control.document import Document, Entry
from gateway.control.model_files import model_paths
from gateway.control.progress import Progress

__all__ = ["ELSEWHERE", "partly_entry", "partly_progress", "partly_reason"]

ELSEWHERE = "something that you may not read stands in the way; whoever may read all endpoints is told what"

MayRead = Callable[[str], bool]


def partly_entry(entry: Entry) -> Entry:
    """Only that there is such a version."""
    return msgspec.structs.replace(entry, by="", what="")


def partly_progress(progress: Progress, newest: Document | None, may_read: MayRead) -> Progress:
    refused = progress.refused
    if refused is not None:
        refused = msgspec.structs.replace(refused, reason=partly_reason(refused.reason, newest, may_read))
    problem = ELSEWHERE if progress.problem else ""
    return msgspec.structs.replace(progress, refused=refused, problem=problem)


def partly_reason(reason: str, newest: Document | None, may_read: MayRead) -> str:
    """``newest`` names what there is; without it nothing is known to be harmless."""
    if newest is None or not reason:
        return reason and ELSEWHERE
    own = [name for name in newest.endpoints if may_read(name)]
    others = {name: settings for name, settings in newest.endpoints.items() if name not in own}
    theirs = [*others, *newest.views, *(set(model_paths(others)) - set(model_paths(_only(newest, own))))]
    starts = tuple(f"{before}{name}{after}" for name in own for before, after in _FORMS)
    return reason if reason.startswith(starts) and not any(each in reason for each in theirs) else ELSEWHERE


_FORMS = (("endpoints.", "."), ("endpoints.", ":"), ("", "/"), ("", ":"))
"""Before and after the name, in ``endpoints.price.traffic`` and in ``price/blue``."""


def _only(document: Document, names: list[str]) -> dict[str, Mapping[str, Any]]:
    return {name: document.endpoints[name] for name in names}

"""
The version of the desired state in HTTP: an ``ETag`` on what is answered, ``If-Match`` on what is asked for.

RFC 9110's strong comparison: a change is made on the version that its sender has seen, and on no other.
"""

from __future__ import annotations

import re

from aiohttp import web

from gateway.control.admin_answer import json_answer
from gateway.control.admin_operation import Precondition
from gateway.control.change_errors import VersionRequired
from gateway.control.document import Document
from gateway.core.errors import InvalidInput

__all__ = ["etag", "seen_version", "versioned"]

_TAG = re.compile(r'"(\d{1,15})"')


def etag(version: int) -> str:
    return f'"{version}"'


def versioned(value: object, document: Document, status: int = 200) -> web.Response:
    """An answer about this document."""
    response = json_answer(value, status)
    response.headers["ETag"] = etag(document.version)
    return response


def seen_version(request: web.Request, precondition: Precondition) -> int | None:
    """None for whatever is newest. Raises ``VersionRequired`` where one must be named, ``InvalidInput``."""
    given = request.headers.get("If-Match")
    if given is None:
        if precondition == "required":
            raise VersionRequired(
                'If-Match: expected the version that you have seen, such as "7" (the ETag of what you read),'
                " or * for whatever is newest"
            )
        return None
    if given.strip() == "*":
        return None
    found = _TAG.fullmatch(given.strip())
    if found is None:
        raise InvalidInput('If-Match: expected a version in quotation marks, such as "7", or *')
    return int(found[1])

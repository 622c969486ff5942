"""
R scripts that take JSON text and give JSON text (azuremlsdk's ``init()``/``run(data)``): the body is handed over as
it is, and the result is sent as it is, where an encoder would quote it a second time.

Such a deployment is known by its signature: R, with one string input called ``data``.
"""

from __future__ import annotations

import msgspec

from gateway.core.catalog import EndpointState
from gateway.core.errors import InvalidInput
from gateway.core.payload import Table
from gateway.core.request import Answer

__all__ = ["takes_text", "text_payload", "text_result"]


def takes_text(endpoint: EndpointState, pin: str | None) -> bool:
    """Whether a body for ``endpoint`` is text: as its pinned deployment takes it, or else its default one."""
    state = endpoint.deployments[pin] if pin else endpoint.default
    return state.deployment is not None and state.deployment.takes_text


def text_payload(body: bytes) -> Table:
    """The whole body as one row of one string."""
    try:
        return Table(["data"], [[body.decode()]])
    except UnicodeDecodeError as error:
        raise InvalidInput("the body is not UTF-8") from error


def text_result(answer: Answer) -> bytes | None:
    """The JSON text that such a deployment gave; None for any other answer. Other text is sent as a JSON string."""
    rows = answer.rows
    is_text = len(rows.layout.columns) == len(rows.texts) == rows.count == 1
    if not is_text or not answer.deployment.takes_text:
        return None
    text = rows.texts[0][0]
    if text is None:
        return b"{}"
    encoded = text.encode()
    try:
        msgspec.json.decode(encoded, type=msgspec.Raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return msgspec.json.encode(text)
    return encoded

"""
JSON bodies like one that was read before: of those only what stands in each ``"data"`` is read. Pure.

Most callers send one body over and over, byte for byte but for the elements. What the decoder makes of a body depends
on nothing but its bytes: led to one place by the same bytes it expects the same there, so a list that is one by itself
is one there too, and what follows is read as before. As no list in JSON is the beginning of another one, there is no
doubt about where it ends. Where the lists stand is not guessed but tried out: with others in their places the body must
be the same request, with those for data.

This accepts, and never refuses: whatever is not known goes the whole way, which knows the answer. A body is remembered
when its beginning, up to the first ``"data":`` with a list, comes for the second time, and nothing that was in such a
list is kept. Elements that somebody spells otherwise (``"data" :``) may stand in a beginning, which is nowhere shown.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from gateway.core.errors import InvalidInput
from gateway.core.payload import Tensor, Tensors
from gateway.edge.oip_body import InferRequest, parse, tensors

__all__ = ["JsonBody", "RememberedBodies"]

_MOST = 256
"""Beginnings; when there are more, all are forgotten, which costs each of them two whole ways."""
_MAX_BYTES = 4096
"""Of a body without its lists."""
_MAX_LISTS = 64
_MAX_NESTED = 256
"""Objects and lists of such a body: a collection of garbage walks over all that is kept."""
_DATA = b'"data":'

_decode = msgspec.json.Decoder(list[int | float | str | bool | None]).decode
_encode = msgspec.json.Encoder().encode


class _Form(NamedTuple):
    """What bodies that differ in their lists have in common."""

    beginning: bytes
    size: int
    """Of the beginning."""
    request: InferRequest
    """Without inputs."""
    heads: tuple[tuple[str, str, tuple[int, ...]], ...]
    lists: list[tuple[str, str, tuple[int, ...], int, bytes, int]]
    """Name, datatype, shape and number of elements of each tensor; what stands behind its list, and its length."""


class RememberedBodies:
    """What bodies of one edge have in common; ``JsonBody`` reads with it."""

    def __init__(self) -> None:
        self.forms: dict[bytes, _Form | None] = {}
        """By their beginnings, of those that came twice; None where what followed has no form."""
        self.once: set[bytes] = set()
        self.latest: _Form | None = None
        """Tried first: callers take turns less often than they go on."""

    def learn(self, beginning: bytes, body: bytes) -> tuple[InferRequest, Tensors]:
        """The whole way. Raises ``InvalidInput`` or ``NotSupported``."""
        request, payload = whole = _whole(body)
        forms, once = self.forms, self.once
        if beginning in forms:
            return whole
        if beginning in once:
            once.discard(beginning)
            forms[beginning] = _form_of(body, request, payload.tensors)
        else:
            if len(once) + len(forms) >= _MOST:
                once.clear()
                forms.clear()
                self.latest = None
            once.add(beginning)
        return whole


class JsonBody(msgspec.Struct):
    """The body of one request, which is nothing but JSON; decoded when somebody asks."""

    remembered: RememberedBodies
    body: bytes
    request: InferRequest | None = None
    """Once it is read; its inputs may be left out."""

    def asked(self) -> InferRequest:
        """The request, but maybe its inputs. Raises ``InvalidInput``."""
        return self.request or parse(self.body, None)[0]

    def read(self) -> Tensors:
        """The inputs. Raises ``InvalidInput`` or ``NotSupported``."""
        body, remembered = self.body, self.remembered
        form = remembered.latest
        if form is None or not body.startswith(form.beginning):
            end = body.find(b"[", body.find(_DATA, 0, _MAX_BYTES), _MAX_BYTES)
            if end < 0:
                return self._read_whole()
            form = remembered.forms.get(body[:end])
            if form is None:
                self.request, payload = remembered.learn(body[:end], body)
                return payload
            remembered.latest = form
        _, at, request, heads, lists = form
        found = []
        try:
            for name, datatype, shape, count, behind, width in lists:
                start, at = at, body.find(b"]", at) + 1
                # Asked before the list is read, which may be long: many put an id of each request behind it.
                if not body.startswith(behind, at):
                    return self._read_whole()
                values = _decode(body[start:at])
                if len(values) != count:
                    return self._read_whole()
                at += width
                found.append(Tensor(name, datatype, shape, None, values))
        except (msgspec.DecodeError, ValueError):
            return self._read_whole()
        if at != len(body):
            return self._read_whole()
        self.request = request
        return Tensors(found, heads)

    def _read_whole(self) -> Tensors:
        self.request, payload = _whole(self.body)
        return payload


def _whole(body: bytes) -> tuple[InferRequest, Tensors]:
    request, binary = parse(body, None)
    return request, tensors(request, binary)


def _form_of(body: bytes, request: InferRequest, found: list[Tensor]) -> _Form | None:
    """None for a body that has none: data that is not a flat list, or in a place where nobody would look for it."""
    if len(found) > _MAX_LISTS:
        return None
    pieces, others, at = [], [], 0
    for place, tensor in enumerate(found):
        if not tensor.values or type(tensor.values[0]) is list:
            return None
        key = body.find(_DATA, at)
        start = body.find(b"[", key)
        end = body.find(b"]", start)
        if min(key, start, end) < 0:
            return None
        pieces.append(body[at:start])
        others.append([place] * (len(tensor.values) + 1))  # as long as none that was there, and unlike each other
        at = end + 1
    pieces.append(body[at:])
    if sum(map(len, pieces)) > _MAX_BYTES:
        return None
    if sum([piece.count(b"[") + piece.count(b"{") for piece in pieces]) > _MAX_NESTED:
        return None
    text = b"".join([part for pair in zip(pieces, map(_encode, others), strict=False) for part in pair])
    try:
        tried, _ = parse(text + pieces[-1], None)
    except InvalidInput:
        return None
    inputs = [msgspec.structs.replace(each, data=data) for each, data in zip(request.inputs, others, strict=True)]
    if tried != msgspec.structs.replace(request, inputs=inputs):
        return None
    heads = tuple([(tensor.name, tensor.datatype, tensor.shape) for tensor in found])
    behind = pieces[1:]
    lists = [
        (tensor.name, tensor.datatype, tensor.shape, len(tensor.values), piece, len(piece))
        for tensor, piece in zip(found, behind, strict=True)
    ]
    return _Form(pieces[0], len(pieces[0]), msgspec.structs.replace(request, inputs=[]), heads, lists)

"""
ModelInferRequest: from its bytes to what the gateway asks of it. Pure.

Clients repeat themselves: request after request has the same model, tensors and parameters, and only the id and the
elements differ. Parsing a message and taking it apart costs more than scoring a row, so a request that was answered is
remembered as a *kind*: its bytes without those that differ. Another request of the kind is then cut into pieces, and
never parsed.

That is exact, not a guess. The bytes that are kept hold every tag and every length; so what has the same ones around
holes of the same size is the same row of records, and parses to the same message but for what is in the holes: the id,
which must be UTF-8, and raw elements, which may be anything. Of the same size they are because a kind is looked for
only among those that are cut alike. No element and no id is ever kept. Only a request that was answered is remembered,
so nobody without a key fills the memory; callers choose what is kept, so it is bounded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain, pairwise
from math import prod
from typing import Any

from msgspec import Struct

from gateway.core.payload import Tensor, Tensors
from gateway.edge.grpc_records import records
from gateway.edge.grpc_tensors import InputReader
from gateway.edge.oip_tensors import raw_tensor
from gateway.wire.v1.grpc_service_pb2 import InferParameter, ModelInferRequest

__all__ = ["Inference", "Kind", "RequestReader"]

_ID = ModelInferRequest.ID_FIELD_NUMBER
_RAW = ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER

_MAX_KINDS = 1024
_MAX_KEPT = 2048
"""Bytes of one kind: two megabytes for all of them."""
_MAX_PIECES = 16_384
"""Of all kinds together: what is kept with each, such as the name of its tensor, makes another five megabytes."""
_MAX_SIZE = 65_536
"""Bytes of a request that may be remembered: beyond it the elements cost more than the rest."""

_LEARNT_AT_ONCE = 256
_ONE_IN = 32
"""
Where strings of many lengths make every request a kind of its own, learning each of them would be in vain, and costs as
much as reading five. So after the first ones, one in so many is learnt: a kind that comes back is known soon enough.
"""
_CUTS_PER_LENGTH = 4
"""Ways to cut messages of one length that are tried; each costs half a microsecond."""

_Pieces = tuple[bytes, ...]

_SHARED, _ELEMENTS = slice(None, None, 2), slice(3, None, 2)
"""Of its pieces: what a request has in common with others of its kind, and the elements of its tensors."""


class Kind(Struct, kw_only=True):
    """What a request has in common with others of its kind; nothing changes it."""

    model: str | None
    version: str
    timeout: Any
    """Value of the request parameter of that name, which nobody has checked; None without one."""
    size: int
    """Bytes of its tensors."""
    outputs: tuple[str, ...] | None = None
    """Which ones the caller asks for, empty for all. None where the kind is not remembered, and what follows empty."""
    tensors: Callable[[_Pieces], Iterable[Tensor]] = lambda _: ()
    """Makes them of the elements of each."""
    heads: tuple[tuple[str, str, tuple[int, ...]], ...] = ()
    """Name, datatype and shape of each."""
    texts: tuple[tuple[int, bytes, Callable[[bytes], Tensor]], ...] = ()
    """
    Places of BYTES tensors, which may be wrong in themselves; how the bytes of one with a single element must begin,
    which is with their length; and what looks closer.
    """


class Inference(Struct):
    """One request; of a kind that is remembered, unless it is a ``_Parsed``."""

    kind: Kind
    pieces: _Pieces
    """In turn what the kind has and what it has not, which is the id and then the elements of each tensor."""
    fresh: bytes | None = None
    """The request itself, if its kind is worth learning."""

    @property
    def id(self) -> str:
        return self.pieces[1].decode()

    def tensors(self) -> Tensors:
        """Raises ``InvalidInput``, or ``NotSupported`` for shared memory."""
        kind, raws = self.kind, self.pieces[_ELEMENTS]
        if kind.texts:
            for place, start, check in kind.texts:
                if not start or raws[place][:4] != start:
                    check(raws[place])
        return Tensors(list(kind.tensors(raws)), kind.heads)

    def message(self) -> ModelInferRequest:
        """The whole of it."""
        return ModelInferRequest.FromString(b"".join(self.pieces))

    def __repr__(self) -> str:
        """Without the elements: this may end in a log."""
        return f"Inference(model={self.kind.model!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Likewise, for tracebacks that show the values of variables."""
        return [("model", self.kind.model)]


class _Parsed(Inference, kw_only=True):
    """One request of a kind that is not remembered; of ``pieces`` it has the id alone."""

    parsed: ModelInferRequest
    read: InputReader

    def tensors(self) -> Tensors:
        return self.read(self.parsed)

    def message(self) -> ModelInferRequest:
        return self.parsed


class RequestReader:
    """Reads requests; one for all calls, because it remembers what it has seen."""

    __slots__ = ("_count", "_cuts", "_new", "_pieces", "_read")

    def __init__(self) -> None:
        self._cuts: dict[int, tuple[tuple[Callable[[bytes], _Pieces], dict[_Pieces, Kind]], ...]] = {}
        """
        By length of the message: ways to cut it, each with the kinds that are cut so, by the pieces that requests of
        one have in common. A kind belongs to its cut, because those pieces alone do not say where the others end.
        """
        self._count = self._pieces = 0
        """Kinds, and pieces of all of them."""
        self._new = 0
        self._read = InputReader()

    def __call__(self, data: bytes) -> Inference:
        """Raises ``DecodeError`` for what is no ModelInferRequest, and nothing else."""
        for cut, kinds in self._cuts.get(len(data), ()):
            pieces = cut(data)
            kind = kinds.get(pieces[_SHARED])
            if kind is not None and (not pieces[1] or _is_text(pieces[1])):
                return Inference(kind, pieces)
        message = ModelInferRequest.FromString(data)
        return _Parsed(
            _kind_of(message),
            (b"", message.id.encode()),
            data if len(data) <= _MAX_SIZE else None,
            parsed=message,
            read=self._read,
        )

    def learn(self, request: Inference) -> None:
        """Remember the kind of a request that was answered, if it has one."""
        data = request.fresh
        if data is None:
            return
        self._new += 1
        if self._new > _LEARNT_AT_ONCE and self._new % _ONE_IN:
            return
        message = request.message()
        holes = _holes(data) if message.raw_input_contents else None
        if holes is None:
            return
        cut = _cutter(holes, len(data))
        pieces = cut(data)
        if sum(map(len, pieces[_SHARED])) > _MAX_KEPT:
            return
        if self._count >= _MAX_KINDS or self._pieces + len(pieces) > _MAX_PIECES:
            self._cuts.clear()
            self._count = self._pieces = 0
        cuts = self._cuts.get(len(data), ())
        kinds = next((kinds for known, kinds in cuts if known(data) == pieces), None)
        if kinds is None:
            kinds = {}
            self._cuts[len(data)] = ((cut, kinds), *cuts[: _CUTS_PER_LENGTH - 1])
            for _, dropped in cuts[_CUTS_PER_LENGTH - 1 :]:
                self._count -= len(dropped)
                self._pieces -= 2 * sum(map(len, dropped)) - len(dropped)
        if pieces[_SHARED] not in kinds:
            self._count += 1
            self._pieces += len(pieces)
        kinds[pieces[_SHARED]] = _known(request.kind, message, request.tensors().tensors)


def _kind_of(message: ModelInferRequest) -> Kind:
    parameters, raws = message.parameters, message.raw_input_contents
    return Kind(
        model=message.model_name or None,
        version=message.model_version,
        timeout=_value(parameters["timeout"]) if parameters and "timeout" in parameters else None,
        # Measuring a large raw request that way does not encode it again.
        size=sum(map(len, raws)) if raws else message.ByteSize(),
    )


def _known(kind: Kind, message: ModelInferRequest, tensors: Sequence[Tensor]) -> Kind:
    texts = []
    for place, (tensor, raw) in enumerate(zip(tensors, message.raw_input_contents, strict=True)):
        if tensor.datatype == "BYTES":
            start = (len(raw) - 4).to_bytes(4, "little") if prod(tensor.shape) == 1 else b""
            texts.append((place, start, partial(raw_tensor, tensor.name, tensor.datatype, tensor.shape)))
    heads = tuple([(tensor.name, tensor.datatype, tensor.shape) for tensor in tensors])
    return Kind(
        model=kind.model,
        version=kind.version,
        timeout=kind.timeout,
        size=kind.size,
        outputs=tuple(output.name for output in message.outputs),
        tensors=partial(map, Tensor, *zip(*heads, strict=True)),
        heads=heads,
        texts=tuple(texts),
    )


def _value(parameter: InferParameter) -> Any:
    choice = parameter.WhichOneof("parameter_choice")
    # Without any it is there all the same, and as little a number as the empty string.
    return "" if choice is None else getattr(parameter, choice)


def _holes(data: bytes) -> list[tuple[int, int]] | None:
    """Where the id is (nowhere, if there is none), and the elements of each tensor; None where that cannot be told."""
    ids: list[tuple[int, int]] = []
    raws: list[tuple[int, int]] = []
    try:
        for field, start, stop in records(data):
            if field == _RAW:
                raws.append((start, stop))
            elif field == _ID:
                if ids or raws:  # no encoder does that
                    return None
                ids.append((start, stop))
    except ValueError:
        return None
    return [*(ids or [(0, 0)]), *raws]


def _cutter(holes: Sequence[tuple[int, int]], size: int) -> Callable[[bytes], _Pieces]:
    """Takes a message of ``size`` bytes apart: before the first hole, the first hole, and so on to what follows all."""
    edges = [0, *chain.from_iterable(holes), size]
    return struct.Struct("".join(f"{stop - start}s" for start, stop in pairwise(edges))).unpack


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:  # parsing it says so in protobuf's words
        return False
    return True

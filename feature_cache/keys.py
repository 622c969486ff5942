"""
Under which key our own layout keeps an entity: ``<prefix>:<view>:<layout>:<entity values>``.

``layout`` is a fingerprint of the names and types of the view's entities and features. Whoever changes them gets new
keys, so that an old gateway and a new one read side by side, each the rows that it understands. Policies, defaults and
freshness are not part of it.

Integers and timestamps (microseconds) stand as decimal numbers; text and bytes as ``<length>:<bytes>``; several values
are joined by commas. With the types known, no two entities share a key, whatever their bytes are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence

from feature_cache.errors import BadEntity
from feature_cache.schema import Entity, FeatureView

__all__ = ["DEFAULT_PREFIX", "KeyMaker", "check_entities", "key_maker", "key_prefix"]

DEFAULT_PREFIX = "features"

KeyMaker = Callable[[Sequence[object]], bytes]
"""Entity values in the order of the view's entities → key. Raises ``BadEntity``."""

_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def key_prefix(view: FeatureView, prefix: str = DEFAULT_PREFIX) -> bytes:
    """What all keys of the view begin with."""
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"prefix: expected letters, digits, '_', '-', '.' or ':', got {prefix!r}")
    return f"{prefix}:{view.name}:{fingerprint(view)}:".encode()


def fingerprint(view: FeatureView) -> str:
    """Eight hexadecimal digits that tell one layout of a row from another."""
    parts = [f"{each.name} {each.type}" for each in view.entities]
    parts += ["", *(f"{each.name} {each.type}" for each in view.features)]
    return hashlib.blake2s("\n".join(parts).encode(), digest_size=4).hexdigest()


def key_maker(view: FeatureView, prefix: str = DEFAULT_PREFIX) -> KeyMaker:
    """Compiled once per view; a key costs a fraction of a microsecond."""
    start = key_prefix(view, prefix)
    if len(view.entities) == 1 and view.entities[0].type == "int64":
        return _one_int64(view, start)
    parts = [_text_part if each.type in ("string", "bytes") else _number_part for each in view.entities]

    def make(entity: Sequence[object]) -> bytes:
        values = check_entities(view, entity)
        return start + b",".join([part(value) for part, value in zip(parts, values, strict=True)])

    return make


def check_entities(view: FeatureView, values: Sequence[object]) -> list[object]:
    """The entity values as their types hold them. Raises ``BadEntity``."""
    if isinstance(values, (str, bytes)) or len(values) != len(view.entities):
        expected = ", ".join(f"{each.name} ({each.type})" for each in view.entities)
        raise BadEntity(f'view "{view.name}": expected one value for each of {expected}')
    return [_checked(view, each, value) for each, value in zip(view.entities, values, strict=True)]


def _checked(view: FeatureView, entity: Entity, value: object) -> object:
    try:
        return entity.datatype.check(value)
    except (TypeError, ValueError) as error:
        raise BadEntity(f'view "{view.name}", entity "{entity.name}": {error}') from None


def _one_int64(view: FeatureView, start: bytes) -> KeyMaker:
    template = start.replace(b"%", b"%%") + b"%d"

    def make(entity: Sequence[object]) -> bytes:
        # Most views look like this, and every row passes here: a true int within range needs no more checks.
        if len(entity) == 1 and type(value := entity[0]) is int and -0x8000000000000000 <= value <= 0x7FFFFFFFFFFFFFFF:
            return template % value
        return template % check_entities(view, entity)[0]

    return make


def _number_part(value: object) -> bytes:
    return b"%d" % value  # type: ignore[str-format]  # checked before: an int


def _text_part(value: object) -> bytes:
    data = value.encode() if isinstance(value, str) else bytes(value)  # type: ignore[call-overload]
    return b"%d:%b" % (len(data), data)

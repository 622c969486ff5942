"""
What one document says otherwise than another, key by key, and what making it real takes. Pure.

Keys are compared as they are written: a default that is written out is a change on paper, and takes nothing. What takes
new workers is what a worker is started with; everything else is taken by the running processes at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from gateway.control.document import Document

__all__ = ["WORKER_KEYS", "Change", "Effect", "differences", "sentence", "summary"]

Effect: TypeAlias = Literal["start", "stop", "replace", "none"]
"""What happens to workers: new ones beside the others, the end of some, new ones for old ones, or nothing."""

WORKER_KEYS = frozenset(
    {
        "model",
        "workers",
        "max_rows",
        "device",
        "threads",
        "provider_options",
        "min_vsize_mb",
        "memory_limit_mb",
    }
)
"""Those keys of a deployment that its workers are started with."""

MODEL_FILES = "model files"
"""The field of a change of what is in a model's folder."""

_DIGEST = 12
"""Characters of a digest that people compare."""
_VALUE = 60
"""Characters of a value in a sentence."""


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is different."""

    what: Literal["endpoint", "deployment", "view"]
    name: str
    """Such as ``diamond-price`` or ``diamond-price/green``."""
    verb: Literal["added", "removed", "changed"]
    effect: Effect
    field: str = ""
    """Of what changed, such as ``traffic.blue``."""
    before: Any = None
    after: Any = None


def differences(old: Document, new: Document) -> list[Change]:
    """In the order of the new document; what is gone comes last."""
    return [*_endpoints(old, new), *_views(old.views, new.views)]


def sentence(change: Change) -> str:
    """One line for people, such as ``diamond-price: traffic.blue 90 → 80``."""
    name = f"view {change.name}" if change.what == "view" else change.name
    if change.verb != "changed":
        return f"{name}: {change.verb}"
    if change.field == MODEL_FILES:
        return f"{name}: model files changed"
    return f"{name}: {change.field} {_shown(change.before)} → {_shown(change.after)}"


def summary(changes: Sequence[Change]) -> str:
    """What all of it takes, in one line."""
    started = [change.name for change in changes if change.effect in ("start", "replace")]
    if not changes:
        return "nothing changes"
    if not started:
        return "no new workers"
    return f"new workers: {', '.join(dict.fromkeys(started))}"


def _endpoints(old: Document, new: Document) -> Iterator[Change]:
    for name, settings in new.endpoints.items():
        before = old.endpoints.get(name)
        if before is None:
            yield Change(what="endpoint", name=name, verb="added", effect="start" if _is_loaded(settings) else "none")
            continue
        for field, was, now in _fields(_without(before), _without(settings)):
            effect: Effect = "none"
            if field == "loaded" and _is_loaded(before) != _is_loaded(settings):
                effect = "start" if _is_loaded(settings) else "stop"
            yield Change(what="endpoint", name=name, verb="changed", effect=effect, field=field, before=was, after=now)
        yield from _deployments(name, before, settings, old.models, new.models)
    for name, settings in old.endpoints.items():
        if name not in new.endpoints:
            effect = "stop" if _is_loaded(settings) else "none"
            yield Change(what="endpoint", name=name, verb="removed", effect=effect)


def _deployments(
    endpoint: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    old_models: Mapping[str, str],
    new_models: Mapping[str, str],
) -> Iterator[Change]:
    old, new = _mapping(before.get("deployments")), _mapping(after.get("deployments"))
    had, has = _is_loaded(before), _is_loaded(after)
    for name, settings in new.items():
        path = f"{endpoint}/{name}"
        if name not in old:
            yield Change(what="deployment", name=path, verb="added", effect="start" if has else "none")
            continue
        for field, was, now in _fields(_mapping(old[name]), _mapping(settings)):
            takes = had and has and field.partition(".")[0] in WORKER_KEYS
            yield Change(
                what="deployment",
                name=path,
                verb="changed",
                effect="replace" if takes else "none",
                field=field,
                before=was,
                after=now,
            )
        model = _mapping(settings).get("model")
        if isinstance(model, str) and model == _mapping(old[name]).get("model"):
            was, now = old_models.get(model), new_models.get(model)
            if was and now and was != now:
                yield Change(
                    what="deployment",
                    name=path,
                    verb="changed",
                    effect="replace" if had and has else "none",
                    field=MODEL_FILES,
                    before=was[:_DIGEST],
                    after=now[:_DIGEST],
                )
    for name in old:
        if name not in new:
            yield Change(what="deployment", name=f"{endpoint}/{name}", verb="removed", effect="stop" if had else "none")


def _views(old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> Iterator[Change]:
    for name, settings in new.items():
        if name not in old:
            yield Change(what="view", name=name, verb="added", effect="none")
            continue
        for field, was, now in _fields(old[name], settings):
            yield Change(what="view", name=name, verb="changed", effect="none", field=field, before=was, after=now)
    for name in old:
        if name not in new:
            yield Change(what="view", name=name, verb="removed", effect="none")


def _fields(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Those that differ, with dots between the keys of mappings inside mappings."""
    for key in [*new, *(key for key in old if key not in new)]:
        was, now = old.get(key), new.get(key)
        if (key in old) == (key in new) and was == now and isinstance(was, bool) == isinstance(now, bool):
            continue
        if isinstance(was, Mapping | None) and isinstance(now, Mapping | None) and (was or now):
            yield from _fields(_mapping(was), _mapping(now), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", was, now


def _without(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in ("deployments", "name")}


def _is_loaded(settings: Mapping[str, Any]) -> bool:
    return settings.get("loaded", True) is not False


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _shown(value: Any) -> str:
    if value is None:
        return "(unset)"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _VALUE else text[: _VALUE - 1] + "…"

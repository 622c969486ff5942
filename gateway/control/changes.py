"""
Every change that can be made to the desired state, as a function from a document to the next one. Pure.

A change says in ``entry.what`` what it did; who did it and when is filled in by whoever writes it. Only what would be
ambiguous or point nowhere is refused here, as ``NotFound`` or ``InvalidInput`` that names the field: whether the whole
can be served is asked of the configuration classes before a document is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

import msgspec

from gateway.control.document import Document
from gateway.control.model_files import model_paths
from gateway.core.errors import InvalidInput, NotFound

__all__ = [
    "delete_deployment",
    "delete_endpoint",
    "endpoint_of",
    "merge",
    "put_deployment",
    "put_endpoint",
    "replace",
    "restore",
    "set_loaded",
    "set_mirror",
    "set_traffic",
    "with_digests",
]

_TOLD = 200
"""Characters of ``entry.what``."""
_NAMES = 8
"""Names that it lists."""

Settings = Mapping[str, Any]


def endpoint_of(document: Document, endpoint: str) -> Settings:
    """Raises ``NotFound``."""
    found = document.endpoints.get(endpoint)
    if found is None:
        raise NotFound(f'no endpoint "{endpoint[:64]}" here')
    return found


def set_traffic(document: Document, endpoint: str, weights: Mapping[str, int]) -> Document:
    """
    Whole percent for each deployment: the weights are complete, so one that is not named gets nothing.

    They sum to 100, or to 0 to take the endpoint out of service.
    """
    settings = endpoint_of(document, endpoint)
    names = _deployments(settings)
    _check_percents("traffic", endpoint, weights, names)
    if sum(weights.values()) not in (0, 100):
        raise InvalidInput(f"traffic: expected a sum of 100, or 0, got {sum(weights.values())}")
    traffic = {name: weights.get(name, 0) for name in names}
    changed = {**settings, "traffic": traffic}
    return _with_endpoint(document, endpoint, changed, f"traffic of {endpoint}: {_percents(traffic)}")


def set_mirror(document: Document, endpoint: str, percents: Mapping[str, int]) -> Document:
    """Percent for each shadow; a deployment that is not named is sent nothing."""
    settings = endpoint_of(document, endpoint)
    _check_percents("mirror_traffic", endpoint, percents, _deployments(settings))
    wanted = {name: percent for name, percent in percents.items() if percent}
    changed = {key: value for key, value in settings.items() if key != "mirror_traffic"}
    if wanted:
        changed["mirror_traffic"] = wanted
    return _with_endpoint(document, endpoint, changed, f"mirror of {endpoint}: {_percents(wanted) or 'none'}")


def set_loaded(document: Document, endpoint: str, *, is_loaded: bool) -> Document:
    """Whether the endpoint has workers."""
    settings = {**endpoint_of(document, endpoint)}
    settings.pop("loaded", None)
    if not is_loaded:
        settings["loaded"] = False
    return _with_endpoint(document, endpoint, settings, f"{endpoint} {'loaded' if is_loaded else 'unloaded'}")


def put_endpoint(document: Document, endpoint: str, settings: Settings) -> Document:
    """A new endpoint, or all of an existing one anew."""
    verb = "replaced" if endpoint in document.endpoints else "added"
    checked = _checked(f"endpoints.{endpoint[:64]}", endpoint, settings)
    return _with_endpoint(document, endpoint, checked, f"{endpoint[:64]} {verb}")


def delete_endpoint(document: Document, endpoint: str) -> Document:
    endpoint_of(document, endpoint)
    rest = {name: settings for name, settings in document.endpoints.items() if name != endpoint}
    return _told(msgspec.structs.replace(document, endpoints=rest), f"{endpoint} deleted")


def put_deployment(document: Document, endpoint: str, name: str, settings: Settings) -> Document:
    """All of a deployment. A new one has no traffic yet: that is another change."""
    whole = endpoint_of(document, endpoint)
    names = _deployments(whole)
    _check_model(f"deployments.{name[:64]}", settings)
    changed: dict[str, Any] = {**whole, "deployments": {**_mapping(whole.get("deployments")), name: settings}}
    if name not in names:
        # Without weights all goes to an only deployment, and it shall go on doing so.
        changed["traffic"] = {**_traffic(whole), name: 0}
    verb = "replaced" if name in names else "added"
    return _with_endpoint(document, endpoint, changed, f"{endpoint}/{name[:64]} {verb}")


def delete_deployment(document: Document, endpoint: str, name: str) -> Document:
    """Of one that has no traffic; its mirror ends with it."""
    whole = endpoint_of(document, endpoint)
    names = _deployments(whole)
    _check_known(endpoint, name, names)
    if len(names) == 1:
        raise InvalidInput(f"deployments.{name}: the only one of {endpoint}: delete the endpoint instead")
    if percent := _traffic(whole).get(name, 0):
        raise InvalidInput(f"traffic.{name}: expected 0 before it is deleted, has {percent}")
    changed = {
        **whole,
        **{
            key: {other: value for other, value in whole[key].items() if other != name}
            for key in ("deployments", "traffic", "mirror_traffic")
            if key in whole
        },
    }
    return _with_endpoint(document, endpoint, changed, f"{endpoint}/{name} deleted")


def replace(document: Document, endpoints: Mapping[str, Settings], views: Mapping[str, Settings]) -> Document:
    """Everything anew: what is not named is not served any more."""
    changed = msgspec.structs.replace(document, endpoints=_all_checked(endpoints), views=_views_checked(views))
    return _told(changed, f"everything replaced: {_named(endpoints)}")


def merge(document: Document, endpoints: Mapping[str, Settings], views: Mapping[str, Settings]) -> Document:
    """The named endpoints and views anew; all others stay."""
    changed = msgspec.structs.replace(
        document,
        endpoints={**document.endpoints, **_all_checked(endpoints)},
        views={**document.views, **_views_checked(views)},
    )
    return _told(changed, f"applied: {_named([*endpoints, *(f'view {view}' for view in views)])}")


def restore(document: Document, past: Document, said: str = "") -> Document:
    """What ``past`` said, as the next version; ``said`` about it besides."""
    changed = msgspec.structs.replace(document, endpoints=past.endpoints, views=past.views, models=past.models)
    return _told(changed, f"rollback to version {past.version}{said}")


def with_digests(document: Document, digests: Mapping[str, str]) -> Document:
    """The digests of its models, the given ones over those that it has; none of models that it does not name."""
    wanted = set(model_paths(document.endpoints))
    known = {**document.models, **digests}
    return msgspec.structs.replace(document, models={path: known[path] for path in sorted(wanted & known.keys())})


def _with_endpoint(document: Document, endpoint: str, settings: Settings, what: str) -> Document:
    return _told(msgspec.structs.replace(document, endpoints={**document.endpoints, endpoint: settings}), what)


def _told(document: Document, what: str) -> Document:
    return msgspec.structs.replace(document, entry=msgspec.structs.replace(document.entry, what=what[:_TOLD]))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _deployments(settings: Settings) -> list[str]:
    return list(_mapping(settings.get("deployments")))


def _traffic(settings: Settings) -> dict[str, int]:
    """With the weight that an only deployment has without a word."""
    names = _deployments(settings)
    return dict(_mapping(settings.get("traffic"))) or ({names[0]: 100} if len(names) == 1 else {})


def _check_known(endpoint: str, name: str, names: list[str]) -> None:
    if name not in names:
        raise NotFound(f'endpoint "{endpoint}" has no deployment "{name[:64]}", it has {", ".join(names)}')


def _check_percents(field: str, endpoint: str, percents: Mapping[str, int], names: list[str]) -> None:
    for name, percent in percents.items():
        _check_known(endpoint, name, names)
        if not 0 <= percent <= 100:
            raise InvalidInput(f"{field}.{name}: expected 0 to 100, got {percent}")


def _all_checked(endpoints: Mapping[str, Settings]) -> dict[str, Settings]:
    return {name: _checked(f"endpoints.{name[:64]}", name, settings) for name, settings in endpoints.items()}


def _views_checked(views: Mapping[str, Settings]) -> dict[str, Settings]:
    for name, view in views.items():
        seed = view.get("seed")
        if isinstance(seed, str) and not PurePosixPath(seed).is_absolute():
            raise InvalidInput(f"views.{name[:64]}.seed: expected an absolute path")
    return {name: _own_name(f"views.{name[:64]}", name, view) for name, view in views.items()}


def _checked(where: str, name: str, settings: Settings) -> Settings:
    """With its name, and with models that are found from anywhere: which folder is meant is known to files only."""
    for deployment, wanted in _mapping(settings.get("deployments")).items():
        _check_model(f"{where}.deployments.{deployment[:64]}", wanted)
    return _own_name(where, name, settings)


def _check_model(where: str, deployment: object) -> None:
    model = _mapping(deployment).get("model")
    if not isinstance(model, str) or not PurePosixPath(model).is_absolute():
        raise InvalidInput(f"{where}.model: expected the absolute path of a model")


def _own_name(where: str, name: str, settings: Settings) -> Settings:
    if settings.get("name", name) != name:
        raise InvalidInput(f'{where}.name: expected "{name[:64]}", or nothing')
    return {"name": name, **settings}


def _percents(percents: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {percent}" for name, percent in percents.items())


def _named(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _NAMES} more" if len(every) > _NAMES else ""
    return (", ".join(every[:_NAMES]) + more) or "nothing"

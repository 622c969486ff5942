"""Every number of the configuration has a bound, which is the one that docs/configuration.md names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from feature_cache.settings import CircuitSettings, LocalSettings
from gateway.auth.config import AuthConfig, OidcConfig
from gateway.config import Settings, load_settings
from gateway.control.control_config import ControlConfig
from gateway.control.endpoints import DeploymentConfig, EndpointConfig
from gateway.control.rollout_config import CompareConfig
from gateway.core.bounds import expect_within
from gateway.core.errors import ConfigError
from gateway.edge.config import EdgeConfig
from gateway.features.config import EmbeddedConfig, FeatureStoreConfig, ViewFile
from gateway.features.entra import EntraConfig
from gateway.limits.config import CallerLimits, LimitsConfig
from gateway.pool.config import PoolConfig

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
TENANT = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"

GOOD: dict[str, msgspec.Struct] = {
    "": EndpointConfig(name="price", deployments={"blue": DeploymentConfig(model=Path("/m"))}),
    "compare.": CompareConfig(),
    "deployments.<name>.": DeploymentConfig(model=Path("/m")),
    "settings.": Settings(),
    "edge.": EdgeConfig(plaintext="loopback", plaintext_port=0),
    "pool.": PoolConfig(),
    "auth.": AuthConfig(),
    "auth.oidc.": msgspec.convert(
        {"tenant": TENANT, "audiences": ["us"], "grants": [{"roles": ["score"]}]}, OidcConfig
    ),
    "limits.": LimitsConfig(),
    "limits.callers.<name>.": CallerLimits(),
    "control.": ControlConfig(),
    "features.": FeatureStoreConfig(),
    "features.local.": LocalSettings(),
    "features.circuit.": CircuitSettings(),
    "features.embedded.": EmbeddedConfig(),
    "features.entra.": EntraConfig(identity="managed"),
}
"""One of each class that has numbers, by where it stands."""
WITHOUT_SCALE = {"compare.absolute", "compare.relative"}
"""They are measured in whatever the model answers: what counts is that they are numbers."""


def numbers(kind: type[msgspec.Struct]) -> Iterator[str]:
    """The fields that hold one number and no text."""
    for field in msgspec.inspect.type_info(kind).fields:  # type: ignore[attr-defined]
        members = field.type.types if isinstance(field.type, msgspec.inspect.UnionType) else (field.type,)
        kinds = {type(each) for each in members}
        is_number = kinds & {msgspec.inspect.IntType, msgspec.inspect.FloatType}
        if is_number and msgspec.inspect.StrType not in kinds:
            yield field.encode_name


def structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """The class and those of its fields, however deep."""
    info = msgspec.inspect.type_info(kind) if isinstance(kind, type) else kind
    if isinstance(info, msgspec.inspect.StructType):
        yield info.cls
        for field in info.fields:
            yield from structs(field.type)
    elif isinstance(info, msgspec.inspect.UnionType):
        for each in info.types:
            yield from structs(each)
    elif isinstance(info, msgspec.inspect.DictType):
        yield from structs(info.value_type)
    elif isinstance(info, (msgspec.inspect.ListType, msgspec.inspect.VarTupleType)):
        yield from structs(info.item_type)


NUMBERS = {f"{place}{name}": (good, name) for place, good in GOOD.items() for name in numbers(type(good))}
BOUNDED = sorted(NUMBERS.keys() - WITHOUT_SCALE)


def documented() -> dict[str, tuple[str, str]]:
    """Setting → from and to, as the page's table of bounds has them."""
    table = PAGE.partition("\n## Bounds\n")[2].partition("\n## ")[0]
    found = {}
    for names, least, most in re.findall(r"^\| (`.*?`) \| (.*?) \| (\d+).*\|$", table, re.MULTILINE):
        found.update(dict.fromkeys(re.findall(r"`([^`]+)`", names), (least, most)))
    return found


def test_every_class_with_numbers_is_tried_here() -> None:
    reached = {kind for root in (Settings, EndpointConfig, ViewFile) for kind in structs(root) if any(numbers(kind))}

    assert reached == {type(good) for good in GOOD.values()}


@pytest.mark.parametrize("setting", BOUNDED)
@pytest.mark.parametrize("value", [10**30, -(10**30), float("inf"), float("nan")])
def test_a_number_that_nobody_means_is_refused_by_name_with_what_was_expected(setting: str, value: float) -> None:
    good, name = NUMBERS[setting]

    with pytest.raises(ValueError, match=rf"^(compare\.)?{name}: expected .*\d.*, got {value}$"):
        msgspec.structs.replace(good, **{name: value})


@pytest.mark.parametrize("setting", sorted(WITHOUT_SCALE))
@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")])
def test_what_has_no_scale_is_a_number_all_the_same(setting: str, value: float) -> None:
    good, name = NUMBERS[setting]

    with pytest.raises(ValueError, match=f"{name}: expected 0 or more, got {value}"):
        msgspec.structs.replace(good, **{name: value})


@pytest.mark.parametrize("setting", BOUNDED)
def test_the_page_names_the_bounds_that_hold(setting: str) -> None:
    good, name = NUMBERS[setting]
    least, most = documented()[setting.removeprefix("settings.")]
    expected = f"{least}, at most {most}" if least.startswith("more than") else f"{least} to {most}"

    with pytest.raises(ValueError, match=rf"{name}: expected {expected}, got 1\d*"):
        msgspec.structs.replace(good, **{name: 10**30})


def test_the_page_names_no_bounds_of_settings_that_there_are_not() -> None:
    assert documented().keys() - {setting.removeprefix("settings.") for setting in BOUNDED} == set()


def test_a_drain_time_that_nobody_means_is_refused_where_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "lockgate.yaml").write_text("gateways: 1\ndrain_ms: 10000000000000\n")

    with pytest.raises(
        ConfigError, match=r"lockgate\.yaml, line 2: drain_ms: expected 0 to 86400000, got 10000000000000"
    ):
        load_settings(tmp_path)


class Three:
    one, two, three = 1, None, 3


def test_a_number_at_its_bounds_or_left_out_is_taken() -> None:
    expect_within(Three(), 1, 3, "one", "two", "three")


def test_a_least_number_that_is_to_be_exceeded_is_refused() -> None:
    with pytest.raises(ValueError, match="one: expected more than 1, at most 3, got 1"):
        expect_within(Three(), 1, 3, "one", is_above=True)

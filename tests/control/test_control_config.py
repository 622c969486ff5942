"""What ``control`` may say, and what is told when it says something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.config import load_settings
from gateway.control.control_config import ControlConfig
from gateway.core.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"source": "redis"}, "source: expected redis_url or redis_url_file as well"),
        ({"redis_url": "redis://h"}, "source: expected redis where there is a redis_url"),
        ({"source": "redis", "redis_url": "redis://h", "redis_url_file": Path("f")}, "redis_url: expected either"),
        ({"source": "redis", "redis_url": "http://h"}, "redis_url: expected an address that begins with redis://"),
        ({"name": "a b"}, "name: expected a letter or digit"),
        ({"name": "{a}"}, "name: expected a letter or digit"),
        ({"keep": 1}, "keep: expected 2 to 10000, got 1"),
    ],
)
def test_a_wrong_setting_is_told_with_its_name(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ControlConfig(**given)


def test_a_wrong_address_is_not_repeated_because_it_may_hold_a_password() -> None:
    with pytest.raises(ValueError, match="redis_url") as caught:
        ControlConfig(source="redis", redis_url="hunter2@host")

    assert "hunter2" not in str(caught.value)


def test_folders_for_models_are_taken_from_the_settings_file(tmp_path: Path) -> None:
    (tmp_path / "lockgate.yaml").write_text("control:\n  models: [/srv/models, more]\n")

    assert load_settings(tmp_path).control.models == (Path("/srv/models"), tmp_path / "more")


def test_the_settings_of_a_folder_may_name_a_redis(tmp_path: Path) -> None:
    (tmp_path / "lockgate.yaml").write_text(
        "control:\n  source: redis\n  redis_url_file: secrets/url\n  name: blue\n  keep: 10\n"
    )
    control = load_settings(tmp_path).control

    assert (control.source, control.redis_url_file, control.name, control.keep) == (
        "redis",
        tmp_path / "secrets" / "url",
        "blue",
        10,
    )


def test_a_wrong_setting_in_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "lockgate.yaml").write_text("gateways: 1\ncontrol:\n  keep: 0\n")

    with pytest.raises(ConfigError, match=r"lockgate\.yaml, line 3: control: keep: expected 2 to 10000"):
        load_settings(tmp_path)

"""The settings say which source is opened."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from gateway.config import Settings, compose, read_files
from gateway.control.control_config import ControlConfig
from gateway.control.folder_source import FolderSource
from gateway.control.model_files import ModelFiles
from gateway.control.open_source import open_source
from gateway.control.redis_source import RedisSource
from gateway.control.source import Source
from gateway.core.errors import ConfigError
from tests.support.control_folder import make_folder
from tests.support.valkey import Valkey


def opened(config: ControlConfig, root: Path, state: Path) -> Source:
    models = ModelFiles()
    check = partial(compose, root=root, settings=Settings(control=config), models=models)
    return open_source(config, root, state, read_files=read_files, check=check, models=models)


async def test_without_settings_it_is_the_folder(tmp_path: Path) -> None:
    source = opened(ControlConfig(), make_folder(tmp_path / "served"), tmp_path / "state")

    assert isinstance(source, FolderSource)
    assert (await source.read()).version == 1
    await source.close()


async def test_a_redis_is_named_by_a_file(tmp_path: Path, valkey: Valkey) -> None:
    (tmp_path / "url").write_text(f"{valkey.url}\n")
    config = ControlConfig(source="redis", redis_url_file=tmp_path / "url", name="blue")
    source = opened(config, make_folder(tmp_path / "served"), tmp_path / "state")

    assert isinstance(source, RedisSource)
    assert (await source.read()).version == 1
    assert (tmp_path / "state" / "history" / "redis-blue.json").exists()
    await source.close()


@pytest.mark.parametrize("is_redis", [False, True])
async def test_what_is_read_only_is_so_in_either(tmp_path: Path, valkey: Valkey, is_redis: bool) -> None:
    config = ControlConfig(read_only=True)
    if is_redis:
        config = ControlConfig(read_only=True, source="redis", redis_url=valkey.url)
    source = opened(config, make_folder(tmp_path / "served"), tmp_path)

    assert source.read_only.startswith("control.read_only is set in lockgate.yaml")
    await source.close()


@pytest.mark.parametrize("text", ["http://hunter2@h", "hunter2", ""])
def test_a_file_without_an_address_is_told_of_without_what_is_in_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "url").write_text(text)
    with pytest.raises(ConfigError, match=r"control\.redis_url: expected an address such as") as caught:
        opened(ControlConfig(source="redis", redis_url_file=tmp_path / "url"), tmp_path, tmp_path)

    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"control\.redis_url_file: expected a file with an address in it"):
        opened(ControlConfig(source="redis", redis_url_file=tmp_path / "url"), tmp_path, tmp_path)

"""Keys in the state directory and in mounted secrets, as files really lie there."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.auth.api_key import ApiKey, digest, new_key
from gateway.auth.key_file import change_keys, mount_stamp, read_keys, read_mounted, write_keys
from gateway.core.access import Role
from gateway.core.errors import ConfigError

KEY = new_key()


def key(name: str) -> ApiKey:
    return ApiKey(name=name, sha256=digest(name))


def test_a_written_file_holds_no_key_is_its_owners_and_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    kept = [
        ApiKey(name="demo", sha256=digest(KEY), roles=(Role.SCORE, Role.KEYS), endpoints=["a"], created=1, expires=2)
    ]
    write_keys(file, kept)

    assert KEY not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_keys(file) == kept


def test_a_file_of_the_first_version_is_still_read(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [{"name": "demo", "sha256": digest(KEY), "endpoints": None}]}))

    assert read_keys(file) == [ApiKey(name="demo", sha256=digest(KEY))]


@pytest.mark.parametrize("text", ["", "{}", '{"keys": [{"name": "x", "sha256": "zz"}]}', '{"keys": [], "more": 1}'])
def test_a_broken_key_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text)

    with pytest.raises(ConfigError, match=r"keys\.json"):
        read_keys(file)


@pytest.mark.parametrize("text", [f'{{"{KEY}": 1}}', f'{{"keys": [{{"name": "{KEY}", "sha256": "{digest(KEY)}"}}]}}'])
def test_a_key_in_the_wrong_place_is_not_repeated(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_keys(file)

    assert KEY not in str(caught.value)


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    write_keys(file, [key("a")])
    with suppress(RuntimeError), change_keys(file) as keys:
        keys.clear()
        raise RuntimeError

    assert [each.name for each in read_keys(file)] == ["a"]


def test_changes_of_two_processes_do_not_undo_each_other(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    write_keys(file, [])
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            try:
                for turn in range(10):
                    with change_keys(file) as keys:
                        keys.append(key(f"k{number}-{turn}"))
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)

    assert len({each.name for each in read_keys(file)}) == 40


def test_a_mounted_folder_gives_a_key_per_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text(f"{KEY}\n")
    (tmp_path / "hashed").write_text(f"sha256:{digest(KEY)}")
    (tmp_path / "price.secondary").write_text(json.dumps({"key": KEY, "roles": ["score", "keys"], "expires": 9}))
    hashed = digest(KEY)

    assert read_mounted(tmp_path) == [
        ApiKey(name="hashed", sha256=hashed),
        ApiKey(name="plain", sha256=hashed),
        ApiKey(name="price.secondary", sha256=hashed, endpoints=["price"], roles=(Role.SCORE, Role.KEYS), expires=9),
    ]


def test_one_mounted_file_gives_its_members(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(json.dumps({"one": KEY, "two": {"sha256": digest("x"), "endpoints": ["a"]}}))

    assert read_mounted(file) == [
        ApiKey(name="one", sha256=digest(KEY)),
        ApiKey(name="two", sha256=digest("x"), endpoints=["a"]),
    ]


@pytest.mark.parametrize("expires", [1_798_761_600_000, 10**400, -1])
def test_a_mounted_key_whose_end_is_not_in_seconds_is_refused_by_name(tmp_path: Path, expires: int) -> None:
    (tmp_path / "ci").write_text(json.dumps({"key": KEY, "expires": expires}))

    with pytest.raises(ConfigError, match=rf"ci: expires: expected Unix seconds, 0 to \d+, got {str(expires)[:20]}$"):
        read_mounted(tmp_path)


def kubernetes(folder: Path, version: str, secret: str) -> None:
    """A secret as the kubelet mounts it: files are links through ``..data``, which is replaced by renaming."""
    real = folder / f"..{version}"
    real.mkdir()
    (real / "demo").write_text(secret)
    (folder / "..next").symlink_to(real.name)
    (folder / "..next").rename(folder / "..data")
    if not (folder / "demo").is_symlink():
        (folder / "demo").symlink_to("..data/demo")


def test_a_secret_of_kubernetes_is_read_and_its_swap_is_seen(tmp_path: Path) -> None:
    kubernetes(tmp_path, "1", KEY)
    before, first = mount_stamp(tmp_path), read_mounted(tmp_path)
    kubernetes(tmp_path, "2", "k" * 40)

    assert first == [ApiKey(name="demo", sha256=digest(KEY))]
    assert read_mounted(tmp_path) == [ApiKey(name="demo", sha256=digest("k" * 40))]
    assert mount_stamp(tmp_path) != before


@pytest.mark.parametrize(
    "content",
    ["short", "with a space " * 4, "", "sha256:12", "{", '{"roles": ["score"]}', '{"key": "lg_1", "more": 1}'],
)
def test_a_mounted_file_that_holds_no_key_is_refused_by_name_without_its_content(tmp_path: Path, content: str) -> None:
    (tmp_path / "demo").write_text(content)
    with pytest.raises(ConfigError, match=str(tmp_path)) as caught:
        read_mounted(tmp_path)

    assert not content or content.strip() not in str(caught.value)


def test_a_name_that_is_a_key_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / KEY).write_text("demo" * 20)
    with pytest.raises(ConfigError) as caught:
        read_mounted(tmp_path)

    assert KEY not in str(caught.value)

"""Only a known key gets in, and only where it may."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.auth.api_key import ApiKey, KeyRing, digest, new_key, write_keys
from gateway.core.access import Presented, Role
from gateway.core.errors import ConfigError, Forbidden, Unauthenticated

KEY = new_key()
RING = KeyRing([ApiKey(name="demo", sha256=digest(KEY)), ApiKey(name="one", sha256=digest("lg_one"), endpoints=["a"])])


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_known_key_gives_its_principal(scheme: str) -> None:
    assert (await RING(Presented(f"{scheme} {KEY}"), "a", Role.SCORE)).name == "demo"


@pytest.mark.parametrize(
    "credential",
    [None, "", "Bearer", "Bearer ", KEY, f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer é"],
)
async def test_anything_else_is_unauthenticated_and_not_repeated(credential: str | None) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await RING(Presented(credential), "a", Role.SCORE)

    assert KEY[:-1] not in str(caught.value)


async def test_a_key_for_other_endpoints_is_forbidden() -> None:
    with pytest.raises(Forbidden):
        await RING(Presented("Bearer lg_one"), "b", Role.SCORE)


def test_two_new_keys_differ_and_are_recognisable() -> None:
    first, second = new_key(), new_key()

    assert first != second
    assert first.startswith("lg_")
    assert len(first) == 46


async def test_a_written_file_holds_no_key_and_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    write_keys(file, [ApiKey(name="demo", sha256=digest(KEY))])

    assert KEY not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert (await KeyRing.read(file)(Presented(f"Bearer {KEY}"), None, Role.SCORE)).name == "demo"


@pytest.mark.parametrize("text", ["", "{}", '{"keys": [{"name": "x", "sha256": "zz"}]}', '{"keys": [], "more": 1}'])
def test_a_broken_key_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text)

    with pytest.raises(ConfigError, match=r"keys\.json"):
        KeyRing.read(file)

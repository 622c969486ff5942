"""Only a known key gets in, only where it may, and only as long as the files say so."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.auth.api_key import ApiKey, digest, new_key
from gateway.auth.key_file import change_keys, write_keys
from gateway.auth.key_store import KeyStore
from gateway.auth.key_uses import KeyUses
from gateway.core.access import Caller, Presented, Principal, Role
from gateway.core.errors import ConfigError, Forbidden, Unauthenticated

KEY = new_key()
NOW = 1_000_000.0


class Keys:
    """A store on real files; ``now`` is its clock."""

    def __init__(self, folder: Path, mounted: Path | None = None) -> None:
        self.now = NOW
        self.file = folder / "keys.json"
        self.uses = KeyUses(folder / "key-uses.json")
        if not self.file.exists():
            one = ApiKey(name="one", sha256=digest("lg_one"), endpoints=["a"])
            late = ApiKey(name="late", sha256=digest("lg_late"), expires=int(NOW) + 10)
            write_keys(self.file, [ApiKey(name="demo", sha256=digest(KEY)), one, late])
        self.store = KeyStore(self.file, mounted, self.uses, clock=lambda: self.now)

    async def ask(self, key: str, endpoint: str = "a") -> Principal:
        return await self.store(Presented(f"Bearer {key}"), endpoint, Role.SCORE)

    def remove(self, name: str) -> None:
        with change_keys(self.file) as keys:
            keys[:] = [key for key in keys if key.name != name]


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_known_key_gives_its_principal(keys: Keys, scheme: str) -> None:
    principal = await keys.store(Presented(f"{scheme} {KEY}"), "a", Role.SCORE)

    assert (principal.name, principal.kind) == ("demo", "key")


@pytest.mark.parametrize(
    ("credential", "error"),
    [
        (None, None),
        ("", "invalid_request"),
        ("Bearer", "invalid_request"),
        ("Bearer ", "invalid_request"),
        (KEY, "invalid_request"),
        (f"Basic {KEY}", "invalid_request"),
        (f"Bearer {KEY}x", "invalid_token"),
        (f"Bearer {KEY[:-1]}", "invalid_token"),
        ("Bearer é", "invalid_token"),
        ("Bearer \udcff\ud800", "invalid_token"),
    ],
)
async def test_anything_else_is_unauthenticated_told_why_and_not_repeated(
    keys: Keys, credential: str | None, error: str | None
) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await keys.store(Presented(credential), "a", Role.SCORE)

    assert caught.value.challenge.startswith('Bearer realm="lockgate"')
    assert (f'error="{error}"' if error else "error=") in caught.value.challenge or error is None
    assert ("error=" in caught.value.challenge) == (error is not None)
    assert KEY[:-1] not in f"{caught.value} {caught.value.challenge}"


async def test_a_key_for_other_endpoints_is_forbidden(keys: Keys) -> None:
    with pytest.raises(Forbidden) as caught:
        await keys.ask("lg_one", "b")

    assert (caught.value.who, 'error="insufficient_scope"' in caught.value.challenge) == ("one", True)


async def test_a_key_without_the_role_is_forbidden(keys: Keys) -> None:
    with pytest.raises(Forbidden):
        await keys.store(Presented(f"Bearer {KEY}"), "a", Role.KEYS)


async def test_a_key_expires_to_the_second_and_is_told_apart_from_a_wrong_one(keys: Keys) -> None:
    keys.now = NOW + 9
    principal = await keys.ask("lg_late")
    keys.now = NOW + 10
    with pytest.raises(Unauthenticated) as caught:
        await keys.ask("lg_late")

    assert principal.name == "late"
    assert 'error="invalid_token", error_description="the key has expired"' in caught.value.challenge


async def test_a_fresh_key_works_before_the_files_are_looked_at_again(keys: Keys) -> None:
    with change_keys(keys.file) as known:
        known.append(ApiKey(name="fresh", sha256=digest("lg_fresh")))

    assert (await keys.ask("lg_fresh")).name == "fresh"


async def test_a_revoked_key_is_refused_from_the_next_look_on(keys: Keys) -> None:
    keys.remove("demo")
    before = await keys.ask(KEY)
    changed = keys.store.refresh()
    with pytest.raises(Unauthenticated):
        await keys.ask(KEY)

    assert (before.name, changed) == ("demo", True)


def test_a_change_is_an_event_with_the_names(keys: Keys) -> None:
    keys.remove("demo")
    with capture_logs() as events:
        keys.store.refresh()

    assert events == [{"event": "auth.keys_changed", "log_level": "info", "added": [], "removed": ["demo"]}]


def test_files_that_stay_as_they_are_are_not_read_again(keys: Keys) -> None:
    assert [keys.store.refresh(), keys.store.refresh()] == [False, False]


@pytest.mark.parametrize("text", ["", '{"keys": [', json.dumps({"keys": [{"name": "demo", "sha256": "no"}]})])
async def test_a_broken_new_file_is_refused_once_and_the_old_keys_stay(keys: Keys, text: str) -> None:
    keys.file.write_text(text)
    with capture_logs() as events:
        keys.store.refresh()
        keys.store.refresh()

    assert (await keys.ask(KEY)).name == "demo"
    assert [(event["event"], event["kept"]) for event in events] == [("auth.keys_refused", 3)]


async def test_a_revocation_that_could_not_be_read_holds_once_it_can(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> list[ApiKey]:
        raise ConfigError(str(path), "cannot be read: Too many open files")

    keys.remove("demo")
    with monkeypatch.context() as patch:
        patch.setattr("gateway.auth.key_store.read_keys", fail)
        keys.store.refresh()
    keys.store.refresh()
    with pytest.raises(Unauthenticated):
        await keys.ask(KEY)


async def test_a_file_that_is_gone_locks_nobody_out(keys: Keys) -> None:
    keys.file.unlink()
    keys.store.refresh()

    assert (await keys.ask(KEY)).name == "demo"


def test_without_a_file_nothing_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"keys\.json"):
        KeyStore(tmp_path / "keys.json", None, KeyUses(tmp_path / "uses"), clock=lambda: NOW)


async def test_keys_of_a_mounted_secret_count_and_follow_its_changes(tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (mounted / "job").write_text("j" * 40)
    keys = Keys(tmp_path, mounted)
    first = await keys.ask("j" * 40)
    (mounted / "job").write_text("n" * 40)
    keys.store.refresh()
    second = await keys.ask("n" * 40)
    with pytest.raises(Unauthenticated):
        await keys.ask("j" * 40)

    assert (first.name, second.name) == ("job", "job")


async def test_a_name_in_both_places_is_refused(tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (mounted / "demo").write_text("j" * 40)

    with pytest.raises(ConfigError, match='"demo" again'):
        Keys(tmp_path, mounted)


async def test_last_uses_of_two_processes_are_kept_together(tmp_path: Path) -> None:
    first, second = Keys(tmp_path), Keys(tmp_path)
    second.now = NOW + 5
    await first.ask(KEY)
    await first.ask("lg_one")
    await second.ask(KEY)
    second.store.flush()
    first.store.flush()

    assert first.uses.read() == {"demo": int(NOW) + 5, "one": int(NOW)}


async def test_the_last_use_survives_a_change_of_the_file(keys: Keys) -> None:
    await keys.ask(KEY)
    keys.remove("one")
    keys.store.refresh()
    keys.store.flush()

    assert keys.uses.read() == {"demo": int(NOW)}


async def test_a_folder_that_cannot_be_written_is_told_once_and_refuses_nobody(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    keys.uses = KeyUses(tmp_path / "nowhere" / "uses")
    keys.store = KeyStore(keys.file, None, keys.uses, clock=lambda: keys.now)
    await keys.ask(KEY)
    with capture_logs() as events:
        keys.store.flush()
        keys.store.flush()

    assert [event["event"] for event in events] == ["auth.last_uses_lost"]


class Forgetful(KeyStore):
    """Remembers nothing of what was shown: what the other one must not differ from."""

    def judge(self, caller: Caller, endpoint: str | None, role: Role) -> Principal:
        self.passes.forget()
        return super().judge(caller, endpoint, role)


_KEYS = ["lg_a", "lg_ä"]
_SHOWN = [*[f"Bearer {key}" for key in _KEYS] * 4, None, "Bearer ", "Bearer lg_ax", "bearer lg_a", "Bearer lg_a "]
_ask = st.tuples(
    st.just("ask"), st.sampled_from(_SHOWN), st.sampled_from(["a", "a", "b"]), st.sampled_from([Role.SCORE, Role.KEYS])
)
_steps = st.one_of(
    _ask,
    _ask,
    st.tuples(
        st.just("give"),
        st.sampled_from(_KEYS),
        st.sampled_from([None, ["a"], ["b"]]),
        st.sampled_from([None, None, int(NOW) + 1, int(NOW) + 3]),
    ),
    st.tuples(st.just("take"), st.sampled_from(_KEYS)),
    st.tuples(st.just("wait")),
    st.tuples(st.just("look")),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_steps, min_size=20, max_size=40))
def test_a_credential_that_is_remembered_is_judged_as_one_that_is_not(steps: list[tuple[Any, ...]]) -> None:
    with TemporaryDirectory() as folder, capture_logs():
        file, now, held = Path(folder) / "keys.json", [NOW], {}
        write_keys(file, [])
        stores = [
            kind(file, None, KeyUses(Path(folder) / "uses"), clock=lambda: now[0]) for kind in (KeyStore, Forgetful)
        ]
        for step, *told in steps:
            if step == "ask":
                shown, endpoint, role = told
                with_memory, without = (_verdict(store, shown, endpoint, role) for store in stores)
                assert with_memory == without
            elif step == "give":
                key, endpoints, expires = told
                name = f"k{_KEYS.index(key)}"
                held[key] = ApiKey(name=name, sha256=digest(key), endpoints=endpoints, expires=expires)
                write_keys(file, list(held.values()))
            elif step == "take":
                held.pop(told[0], None)
                write_keys(file, list(held.values()))
            elif step == "wait":
                now[0] += 1
            else:
                for store in stores:
                    store.refresh()
            assert len(stores[0].passes._shown) <= len(stores[0]._ring)
        for store in stores:
            store.refresh()
        assert [(each.digest, each.last_used) for each in stores[0]._ring] == [
            (each.digest, each.last_used) for each in stores[1]._ring
        ]


def _verdict(store: KeyStore, shown: str | None, endpoint: str | None, role: Role) -> tuple[str, ...]:
    try:
        principal = store.judge(Presented(shown), endpoint, role)
    except (Unauthenticated, Forbidden) as refusal:
        return type(refusal).__name__, str(refusal), refusal.challenge, refusal.who
    return principal.name, repr(principal)


async def test_nothing_that_was_shown_is_remembered_beyond_the_next_look(keys: Keys) -> None:
    await keys.ask(KEY)
    remembered = len(keys.store.passes._shown)
    keys.store.refresh()

    assert (remembered, keys.store.passes._shown) == (1, {})


@pytest.mark.parametrize("credential", [f"bearer {KEY}", f"Bearer  {KEY}", f"Bearer {KEY} ", "Bearer lg_wrong"])
async def test_only_a_valid_key_in_its_usual_form_is_remembered(keys: Keys, credential: str) -> None:
    _verdict(keys.store, credential, "a", Role.SCORE)

    assert keys.store.passes._shown == {}

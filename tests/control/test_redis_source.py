"""Several servers, one Redis: what is changed on one is what all of them read, whoever was away meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import redis
from structlog.testing import capture_logs

from gateway.control.document import Document, content_digest
from gateway.control.redis_source import RedisSource
from gateway.control.redis_store import _cancellable
from gateway.control.source import Conflict, ReadOnly, Source, SourceUnavailable
from gateway.core.errors import ConfigError, NotFound
from tests.support.control_folder import PRICE, make_folder
from tests.support.cut_line import cut_line
from tests.support.folder_sources import altered
from tests.support.paced import Following, Paced
from tests.support.redis_sources import NOW, open_redis
from tests.support.valkey import Valkey, private_valkey
from tests.support.valkey_servers import eventually, start_cluster

Open: TypeAlias = Callable[..., RedisSource]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "served")


@pytest.fixture
async def server(root: Path, tmp_path: Path, valkey: Valkey) -> AsyncIterator[Open]:
    """Opens one server after another; the same name has the same state directory."""
    async with AsyncExitStack() as stack:

        def open_one(state: str = "a", *, url: str = "", at: Path = root, **more: Any) -> RedisSource:
            source = open_redis(url or valkey.url, at, tmp_path / state, **more)
            stack.push_async_callback(source.close)
            return source

        yield open_one


def weights(blue: int) -> Callable[[Any], object]:
    return lambda data: data["endpoints"]["price"].update(traffic={"blue": blue, "green": 100 - blue})


def events(logs: list[Any]) -> list[str]:
    return [each["event"] for each in logs]


async def is_listening(client: redis.Redis, count: int = 1) -> None:
    await eventually(lambda: client.pubsub_numsub("lockgate:{default}:changed")[0][1] == count)


def test_it_is_a_source(server: Open) -> None:
    source: Source = server()

    assert source.read_only == ""


async def test_an_empty_store_is_filled_with_what_the_files_say(server: Open) -> None:
    document = await server().read()

    assert sorted(document.endpoints) == ["price", "tumor"]
    assert (document.entry.version, document.entry.by, document.entry.at) == (1, "files", NOW)
    assert len(document.models) == 2


async def test_who_only_asks_is_told_what_the_others_have_written(server: Open) -> None:
    one, other = server("a"), server("b")
    written = await one.write(altered(await other.settled(), weights(50)), 1)

    assert await other.settled() == written


async def test_of_several_that_start_together_one_fills_the_store(server: Open, tmp_path: Path) -> None:
    folders = [make_folder(tmp_path / f"served-{number}") for number in range(5)]
    found = await asyncio.gather(*(server(str(n), at=folder).read() for n, folder in enumerate(folders)))

    assert {content_digest(each) for each in found} == {content_digest(found[0])}
    assert [entry.version for entry in await server().history()] == [1]


async def test_what_one_writes_the_other_reads(server: Open) -> None:
    one, other = server("a"), server("b")
    document = await one.read()
    await other.read()
    done = await one.write(altered(document, weights(50), what="traffic of price"), 1)

    assert await other.read() == done
    assert (done.entry.version, done.entry.by, done.entry.what, done.entry.at) == (2, "anna", "traffic of price", NOW)


async def test_a_change_is_heard_at_once(server: Open, valkey: Valkey) -> None:
    one, paced = server("a"), Paced()
    other = server("b", paced=paced)
    document = await one.read()
    await other.read()
    with valkey.client() as client:
        async with Following(other.changed(), paced) as following:
            assert not await following.turns(1)
            await is_listening(client)
            await one.write(altered(document, weights(50)), 1)
            await following.come()

    assert len(paced.lengths) == 2  # it did not wait for the second to end


async def test_a_change_that_was_not_heard_is_found_at_the_next_look(server: Open) -> None:
    one, paced = server("a"), Paced()
    other = server("b", paced=paced)
    document = await one.read()
    await other.read()
    await one.write(altered(document, weights(50)), 1)
    async with Following(other.changed(), paced) as following:  # begins to listen after the change
        assert await following.turns(1)

    assert paced.lengths == [0.5]


async def test_nothing_changes_while_nothing_changes(server: Open) -> None:
    paced = Paced()
    source = server(paced=paced)
    await source.read()
    async with Following(source.changed(), paced) as following:
        assert not await following.turns(5)


async def test_what_somebody_else_came_upon_is_still_told_to_who_follows(server: Open) -> None:
    one, other = server("a"), server("b", paced=(paced := Paced()))
    document = await one.read()
    await other.read()
    await one.write(altered(document, weights(50)), 1)
    await other.read()  # by the admin API, say
    async with Following(other.changed(), paced) as following:
        assert following.has_come


async def test_a_change_of_another_version_is_refused(server: Open) -> None:
    one, other = server("a"), server("b")
    document = await one.read()
    await other.write(altered(document, weights(50)), 1)
    with pytest.raises(Conflict, match="expected version 1, but version 2 is there now") as caught:
        await one.write(altered(document, weights(60)), 1)

    assert caught.value.found == 2
    assert (await one.read()).endpoints["price"]["traffic"] == {"blue": 50, "green": 50}


async def test_of_many_who_change_the_same_version_exactly_one_wins(server: Open) -> None:
    sources = [server(name) for name in "abc"]
    document = await sources[0].read()
    tries = [source.write(altered(document, weights(blue)), 1) for blue in range(4) for source in sources]
    done = await asyncio.gather(*tries, return_exceptions=True)
    won = [each for each in done if isinstance(each, Document)]

    assert len(won) == 1
    assert [type(each) for each in done if each is not won[0]] == [Conflict] * 11
    assert [await source.read() for source in sources] == won * 3


async def test_a_write_whose_answer_was_lost_is_not_taken_for_somebody_else_s(server: Open) -> None:
    source = server()
    document = await source.read()
    store = source._store
    store._token = lambda: "same"
    new = await source.write(altered(document, weights(50)), 1)
    await store.put(new, 1)  # as the client tries again

    assert [entry.version for entry in await source.history()] == [2, 1]


async def test_the_history_is_common_and_has_an_end(server: Open, valkey: Valkey) -> None:
    one, other = server("a", keep=3), server("b", keep=3)
    document = await one.read()
    for version, source in enumerate([one, other, one, other], start=1):
        document = await source.write(altered(document, weights(version), what=f"change {version}"), version)

    assert [(entry.version, entry.what) for entry in await one.history()] == [
        (5, "change 4"),
        (4, "change 3"),
        (3, "change 2"),
    ]
    assert (await other.past(3)).endpoints["price"]["traffic"] == {"blue": 2, "green": 98}
    with pytest.raises(NotFound, match="version 2 is not in the history"):
        await other.past(2)
    with valkey.client() as client:
        assert client.hlen("lockgate:{default}:past") == 3


async def test_names_keep_states_apart(server: Open) -> None:
    one, other = server("a", name="blue"), server("b", name="green")
    await one.write(altered(await one.read(), weights(50)), 1)

    assert (await other.read()).version == 1


async def test_what_cannot_be_served_is_not_written(server: Open) -> None:
    source = server()
    document = await source.read()
    with pytest.raises(ConfigError, match=r"endpoints\.price: traffic: expected a sum of 100"):
        await source.write(altered(document, lambda data: data["endpoints"]["price"]["traffic"].update(blue=3)), 1)

    assert (await source.read()).version == 1


async def test_a_source_that_is_read_only_refuses_and_reads(server: Open) -> None:
    source = server(read_only=True)
    document = await source.read()

    assert source.read_only == "control.read_only is set in lockgate.yaml: change it through another server"
    with pytest.raises(ReadOnly, match=r"control\.read_only is set"):
        await source.write(altered(document, weights(50)), 1)


async def test_files_that_say_something_else_are_told_of_once(server: Open, root: Path) -> None:
    await server("a").read()
    (root / "endpoints" / "price.yaml").write_text(PRICE.replace("workers: 2", "workers: 3"))
    other = server("b")
    with capture_logs() as logs:
        await other.read()
        document = await other.read()

    assert events(logs) == ["control.files_ignored"]
    assert document.endpoints["price"]["deployments"]["green"]["workers"] == 2


async def test_files_that_say_the_same_are_not_told_of(server: Open) -> None:
    await server("a").read()
    with capture_logs() as logs:
        await server("b").read()

    assert logs == []


async def test_a_folder_without_endpoints_can_be_served_from_a_filled_store(server: Open, tmp_path: Path) -> None:
    document = await server("a").read()
    (tmp_path / "bare").mkdir()

    assert await server("b", at=tmp_path / "bare").read() == document


async def test_model_files_that_come_later_are_told_of(server: Open, root: Path) -> None:
    paced = Paced()
    source = server(paced=paced)
    await source.read()
    async with Following(source.changed(), paced) as following:
        (root / "models" / "green" / "model.rds").write_bytes(b"GREEN")

        assert not await following.turns(1)
        assert await following.turns(1)


async def test_what_is_no_state_of_ours_is_said_to_be_so_and_not_told_of_for_ever(server: Open, valkey: Valkey) -> None:
    paced = Paced()
    source = server(paced=paced)
    with valkey.client() as client:
        client.hset("lockgate:{default}:newest", mapping={"version": 7, "token": "t", "document": "{"})
    with pytest.raises(ConfigError, match="expected a state of Lockgate in the Redis"):
        await source.read()
    async with Following(source.changed(), paced) as following:
        assert not await following.turns(3)


# Away and back


async def test_a_server_that_starts_while_redis_is_away_serves_what_it_saw_last(root: Path, tmp_path: Path) -> None:
    paced = Paced()
    with private_valkey() as valkey:
        first = open_redis(valkey.url, root, tmp_path / "a")
        done = await first.write(altered(await first.read(), weights(50)), 1)
        await first.read()
        await first.close()
        valkey.kill()
        second = open_redis(valkey.url, root, tmp_path / "a", paced=paced)
        with capture_logs() as logs:
            document = await second.read()
        valkey.restart()  # empty
        async with Following(second.changed(), paced) as following:
            assert await following.turns(1)
        again = await second.read()
        history = await second.history()
        await second.close()

    assert events(logs) == ["control.store_lost", "control.started_from_last_seen"]
    assert (document, again) == (done, done)
    assert [entry.version for entry in history] == [2]


async def test_what_was_read_last_can_be_shown_while_redis_is_away(root: Path, tmp_path: Path) -> None:
    with private_valkey() as valkey:
        source = open_redis(valkey.url, root, tmp_path / "a")
        await source.write(altered(await source.read(), weights(50)), 1)
        done = await source.read()
        valkey.kill()
        found = await source.past(2)
        with pytest.raises(SourceUnavailable):
            await source.past(1)
        await source.close()

    assert found == done


async def test_a_first_start_without_redis_is_an_error(root: Path, tmp_path: Path) -> None:
    source = open_redis(f"unix://{tmp_path}/nobody.sock", root, tmp_path / "a")
    with pytest.raises(SourceUnavailable, match="the Redis of the desired state does not answer"):
        await source.read()
    await source.close()


async def test_a_redis_that_goes_is_told_once_and_one_that_forgot_gets_its_state_back(
    root: Path, tmp_path: Path
) -> None:
    paced = Paced()
    with private_valkey() as valkey:
        source = open_redis(valkey.url, root, tmp_path / "a", paced=paced)
        done = await source.write(altered(await source.read(), weights(50)), 1)
        await source.read()
        (root / "endpoints" / "tumor.yaml").unlink()
        with capture_logs() as logs:
            async with Following(source.changed(), paced):
                pass  # takes the news of our own write
            async with Following(source.changed(), paced) as following:
                await following.turns(1)
                valkey.kill()
                await following.turns(4)
                with pytest.raises(SourceUnavailable):
                    await source.read()
                with pytest.raises(SourceUnavailable):
                    await source.write(done, 2)
                valkey.restart()
                assert await following.turns(2)
            again = await source.read()
        await source.close()

    assert again == done
    assert events(logs) == ["control.store_lost", "control.store_back", "control.store_filled"]
    assert paced.lengths[:6] == [0.5, 0.5, 1.0, 2.0, 2.0, 2.0]


async def test_a_store_filled_by_one_that_was_behind_takes_nobody_back(server: Open, valkey: Valkey) -> None:
    near, far = server("near"), server("far")
    first = await far.read()
    await near.read()
    second = await near.write(altered(first, weights(50)), 1)
    assert await near.read() == second
    valkey.empty()
    behind = await far.read()  # it knows of version 1 only
    found = [await near.read(), await far.read()]

    assert behind == first
    assert found == [second, second]
    assert [entry.version for entry in await far.history()] == [2, 1]


async def test_a_server_that_starts_takes_a_store_that_was_begun_anew_as_it_is(server: Open, valkey: Valkey) -> None:
    old = server("old")
    await old.write(altered(await old.read(), weights(50)), 1)
    await old.read()
    await old.close()
    valkey.empty()
    first = await server("new").read()

    assert await server("old").read() == first


async def test_one_that_was_cut_off_during_a_change_has_it_when_it_is_back(
    server: Open, valkey: Valkey, tmp_path: Path
) -> None:
    paced = Paced()
    async with cut_line(valkey.socket, tmp_path / "line.sock") as line:
        near = server("near")
        far = server("far", url=f"unix://{tmp_path}/line.sock", paced=paced)
        document = await near.read()
        await far.read()
        async with Following(far.changed(), paced) as following:
            await following.turns(2)
            line.cut()
            second = await near.write(altered(document, weights(50)), 1)
            third = await near.write(altered(second, weights(60)), 2)
            assert not await following.turns(3)
            with pytest.raises(SourceUnavailable):
                await far.write(altered(document, weights(70)), 1)
            line.mend()
            assert await following.turns(1)

        assert await far.read() == third
        with valkey.client() as client:
            async with Following(far.changed(), paced) as following:
                await following.turns(1)  # its own reading was news
        async with Following(far.changed(), paced) as following:
            await following.turns(1)
            await is_listening(client)
            fourth = await near.write(altered(third, weights(40)), 3)
            await following.come()
        assert await far.read() == fourth
        await far.close()


async def test_one_that_was_cut_off_cannot_overwrite_what_it_has_not_seen(
    server: Open, valkey: Valkey, tmp_path: Path
) -> None:
    async with cut_line(valkey.socket, tmp_path / "line.sock") as line:
        near, far = server("near"), server("far", url=f"unix://{tmp_path}/line.sock")
        document = await far.read()
        line.cut()
        done = await near.write(altered(document, weights(50)), 1)
        line.mend()
        with pytest.raises(Conflict, match="expected version 1, but version 2"):
            await far.write(altered(document, weights(70)), 1)

        assert await far.read() == done
        await far.close()


async def test_a_cluster_keeps_a_state_too(server: Open, tmp_path: Path) -> None:
    async with start_cluster(tmp_path / "cluster") as servers:
        url = f"redis+cluster://127.0.0.1:{servers[0].port}"
        paced = Paced()
        one, other = server("a", url=url), server("b", url=url, paced=paced)
        document = await one.read()
        await other.read()
        async with Following(other.changed(), paced) as following:
            done = await one.write(altered(document, weights(50)), 1)
            assert await following.turns(1)
        again = await other.read()
        versions = [entry.version for entry in await other.history()]
        await asyncio.gather(one.close(), other.close())

    assert again == done
    assert versions == [2, 1]


async def test_no_error_shows_the_address(server: Open) -> None:
    source = server(url="redis://anna:hunter2@127.0.0.1:1")
    with capture_logs() as logs, pytest.raises(SourceUnavailable) as caught:
        await source.read()

    assert "hunter2" not in f"{caught.value}{logs}"


async def test_a_cancellation_that_the_client_swallows_ends_the_call_all_the_same() -> None:
    started = asyncio.Event()

    async def swallow() -> int:
        started.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return 1

    task = asyncio.create_task(_cancellable(swallow()))
    await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_of_two_reads_at_once_the_newer_document_is_kept(server: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    source = server("a")
    first = await source.read()
    source._last = None
    held, begun = asyncio.Event(), asyncio.Event()
    compare = source._compare_with_files

    async def late(document: Document) -> None:
        if document.version == 1:
            begun.set()
            await held.wait()
        await compare(document)

    monkeypatch.setattr(source, "_compare_with_files", late)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(source.read())
        await begun.wait()
        second = await source.write(altered(first, weights(50)), 1)
        await source.read()
        held.set()

    assert source._read_kept() == second


async def lost_and_written_again(server: Open, valkey: Valkey) -> tuple[RedisSource, Document, Document]:
    """One server, what it wrote as version 2 and was lost, and what another wrote as version 2 since."""
    one, other = server("one"), server("other")
    first = await one.read()
    with valkey.client() as client:
        before = {key: client.dump(key) for key in client.scan_iter()}
        lost = await one.write(altered(first, weights(50)), 1)
        valkey.empty()
        for key, data in before.items():
            client.restore(key, 0, data)
    await other.read()
    return one, lost, await other.write(altered(first, weights(70)), 1)


async def test_a_lost_version_whose_number_was_given_again_cannot_be_changed_by_it(
    server: Open, valkey: Valkey
) -> None:
    one, lost, _ = await lost_and_written_again(server, valkey)

    with pytest.raises(Conflict):
        await one.write(altered(lost, weights(60)), 2)


async def test_what_has_the_number_of_a_lost_version_gets_the_next_one(server: Open, valkey: Valkey) -> None:
    one, lost, again = await lost_and_written_again(server, valkey)
    found = await one.read()

    assert (lost.version, again.version, found.version) == (2, 2, 3)
    assert content_digest(found) == content_digest(again)


async def test_a_write_is_made_on_the_very_write_that_was_read(server: Open, valkey: Valkey) -> None:
    source = server("one")
    document = await source.read()
    with valkey.client() as client:
        client.hset("lockgate:{default}:newest", "token", "another")

    with pytest.raises(Conflict):
        await source.write(altered(document, weights(50)), 1)

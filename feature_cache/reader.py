"""
Reads rows from the store: all that are asked for in one turn of the event loop leave in one round trip per server.

A key that is being read is not asked for twice: who comes later waits for the same fetch, unless the key has changed
meanwhile, or the fetch is older than anybody's patience. An answer that comes too late still goes into the local copy,
if nothing has changed since it was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from feature_cache.counters import Counters
from feature_cache.errors import Unavailable
from feature_cache.expiry import Expiry
from feature_cache.fetch import Fetch, Waiter
from feature_cache.local import LocalCopy
from feature_cache.node import Node
from feature_cache.resp import Reply, ReplyError, command
from feature_cache.row import Row, RowState
from feature_cache.stored_view import StoredView
from feature_cache.topology import Topology

__all__ = ["Reader"]

_MAX_HOPS = 4
_ASKING = command("ASKING")


class Reader:
    """Belongs to the loop on which it is used. ``timeout`` in seconds."""

    def __init__(
        self,
        topology: Topology,
        local: LocalCopy,
        counters: Counters,
        *,
        timeout: float,
        max_rows: int,
        clock: Callable[[], float],
    ) -> None:
        self._topology, self._local, self._counters = topology, local, counters
        self._timeout, self._max_rows, self._clock = timeout, max_rows, clock
        self._fetches: dict[bytes, Fetch] = {}
        self._queue: list[Fetch] = []
        self._expiry = Expiry(timeout, clock)
        self._rows = 0
        """Rows asked for and not answered, also those that nobody waits for any more."""

    @property
    def rows_in_flight(self) -> int:
        return self._rows

    def fetch(self, view: StoredView, key: bytes, entity: Sequence[object], waiter: Waiter, now: float) -> Fetch:
        """The row of this key, when ``waiter`` is woken. What cannot be asked for has its row at once."""
        fetch = self._fetches.get(key + view.slot)
        if fetch is not None and now - fetch.asked_at < self._timeout:
            self._counters.joined += 1
        else:
            if fetch is not None:  # it will not hear of changes any more
                fetch.is_clean = False
            fetch = Fetch(view, key, entity, now)
            if self._rows >= self._max_rows:
                fetch.row = _unavailable("too many rows are being read")
                return fetch
            self._rows += 1
            self._fetches[fetch.place] = fetch
            if not self._queue:
                asyncio.get_running_loop().call_soon(self._flush)
            self._queue.append(fetch)
        waiter.expect()
        fetch.waiters.append(waiter)
        return fetch

    def bound(self, waiter: Waiter, now: float, deadline: float | None) -> asyncio.TimerHandle | None:
        """Wake it when its time is up. What is returned is to be cancelled when it was woken before."""
        if deadline is None or deadline >= now + self._timeout:
            self._expiry.add(waiter, now)
            return None
        return asyncio.get_running_loop().call_later(deadline - now, waiter.expire)

    def forget(self, places: Sequence[bytes] | None) -> None:
        """These places have changed; None: all. Nobody may join a fetch that could have been answered before."""
        if places is None:
            changed = list(self._fetches.values())
            self._fetches.clear()
        else:
            changed = [fetch for place in places if (fetch := self._fetches.pop(place, None)) is not None]
        for fetch in changed:
            fetch.is_clean = False

    def close(self) -> None:
        """Whoever still waits is told that there is nothing."""
        self._expiry.close()

    def _flush(self) -> None:
        queue, self._queue = self._queue, []
        if len(self._topology.nodes) == 1:
            self._send(self._topology.nodes[0], queue)
            return
        by_node: dict[Node | None, list[Fetch]] = {}
        for fetch in queue:
            by_node.setdefault(self._topology.node_for(fetch.key), []).append(fetch)
        for node, fetches in by_node.items():
            self._send(node, fetches)

    def _send(self, node: Node | None, fetches: list[Fetch], *, asking: bool = False) -> None:
        if node is None:
            self._give_up(fetches, "no server is known for this key")
            return
        if not node.circuit.is_closed:
            self._give_up(fetches, "it has not answered lately")
            return
        connection = node.pick()
        if connection is None:
            node.failed()
            self._give_up(fetches, "not connected")
            return
        epoch = self._local.epoch
        for fetch in fetches:
            fetch.epoch = epoch
        commands = [fetch.view.fetch(fetch.key) for fetch in fetches]
        if asking:
            commands.insert(0, _ASKING)
        trip = _RoundTrip(self, node, fetches, asking)
        try:
            connection.send(b"".join(commands), len(commands), trip)
        except Unavailable as error:
            self._give_up(fetches, str(error))
            return
        self._counters.round_trips += 1
        self._counters.fetched += len(fetches)
        self._expiry.add(trip, self._clock())

    def _arrived(self, fetches: list[Fetch], replies: Sequence[Reply]) -> None:
        now, local = self._clock(), self._local
        for fetch, reply in zip(fetches, replies, strict=True):
            if isinstance(reply, ReplyError):
                self._refused(fetch, reply)
                continue
            row = fetch.view.row(reply)
            if row.state is RowState.CORRUPT:
                self._counters.corrupt += 1
                row = fetch.view.named(row, fetch.entity)
            elif fetch.is_clean and local.is_on:
                local.put(fetch.place, row, fetch.view.size(reply), fetch.epoch, now)
            self._end(fetch, row)

    def _refused(self, fetch: Fetch, error: ReplyError) -> None:
        code = error.code
        if code in ("MOVED", "ASK") and fetch.hops < _MAX_HOPS:
            self._counters.redirects += 1
            fetch.hops += 1
            self._send(self._topology.redirected(error), [fetch], asking=code == "ASK")
            return
        self._counters.refused += 1
        if row := fetch.view.wrong_type(error):
            self._counters.corrupt += 1
            self._end(fetch, fetch.view.named(row, fetch.entity))
        else:
            self._end(fetch, _unavailable(f"it answered {code}"))

    def _lost(self, node: Node, fetches: list[Fetch], reason: str) -> None:
        """A lost connection says nothing about the rows: once, they are asked for on another."""
        again: list[Fetch] = []
        if node.circuit.is_closed and node.pick() is not None:
            again = [fetch for fetch in fetches if not fetch.hops and fetch.waiters]
        self._give_up([fetch for fetch in fetches if not again or fetch.hops or not fetch.waiters], reason)
        for fetch in again:
            fetch.hops += 1
        if again:
            self._send(node, again)

    def _give_up(self, fetches: list[Fetch], reason: str) -> None:
        row = _unavailable(reason)
        for fetch in fetches:
            self._end(fetch, row)

    def _end(self, fetch: Fetch, row: Row) -> None:
        self._rows -= 1
        if self._fetches.get(fetch.place) is fetch:
            del self._fetches[fetch.place]
        fetch.end(row)


class _RoundTrip:
    """Commands that went to one server together; the server has failed when their answers come late or never."""

    __slots__ = ("_asking", "_fetches", "_node", "_reader", "is_done", "is_late")

    def __init__(self, reader: Reader, node: Node, fetches: list[Fetch], asking: bool) -> None:
        self._reader, self._node, self._fetches, self._asking = reader, node, fetches, asking
        self.is_done = self.is_late = False

    def answered(self, replies: Sequence[Reply]) -> None:
        self.is_done = True
        if not self.is_late:
            self._node.circuit.answered()
        self._reader._arrived(self._fetches, replies[1:] if self._asking else replies)

    def failed(self, reason: Unavailable) -> None:
        if not self.is_late:
            self._node.failed()
        self.is_done = True
        self._reader._lost(self._node, self._fetches, str(reason))

    def expire(self) -> None:
        """Late: it counts as failed now, and its answers are still taken when they come."""
        self.is_late = True
        self._reader._counters.late += 1
        self._node.failed()


def _unavailable(reason: str) -> Row:
    return Row(RowState.UNAVAILABLE, error=reason)

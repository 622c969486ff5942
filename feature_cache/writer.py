"""
Writes rows, many in one round trip, and never an older one over a newer one.

Which of two rows is newer is decided inside the store, by a script that compares event times and writes in one step:
two writers, or one that is started again half-way, cannot put yesterday over today. Rows are encoded by the code that
reads them, in our own layout or in Feast's, and everything is checked before anything is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from redis.exceptions import RedisClusterException, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout

from feature_cache.datatype import datatype
from feature_cache.encoding import EVENT_TIME_OFFSET, RowCodec
from feature_cache.errors import BadValue, StoreRefused, Unavailable
from feature_cache.feast import FeastCodec, feast_key_maker
from feature_cache.keys import DEFAULT_PREFIX, key_maker
from feature_cache.row import ABSENT
from feature_cache.schema import FeatureView

__all__ = ["EncodedRow", "NewRow", "StoreClient", "Writer", "Written", "event_time_us"]

BATCH_ROWS = 256
"""Rows in one call of the script: the store answers nobody else meanwhile, for half a millisecond."""

_AT_ONCE = 32
"""Calls under way at the same time against a cluster, where each slot needs one of its own."""

# KEYS: the rows' keys; ARGV: whether to overwrite whatever is there, time to live in ms or 0, the rows.
_COMPACT = f"""
local at = {EVENT_TIME_OFFSET + 1}
local written = 0
for i, key in ipairs(KEYS) do
  local new, is_newer = ARGV[i + 2], ARGV[1] == '1'
  if not is_newer then
    local old = redis.call('GETRANGE', key, 0, at + 6)
    if #old < at + 7 or string.byte(old, 1) ~= string.byte(new, 1) then
      is_newer = true
    else
      local new_high, new_low = struct.unpack('>i4I4', new, at)
      local old_high, old_low = struct.unpack('>i4I4', old, at)
      is_newer = new_high > old_high or (new_high == old_high and new_low > old_low)
    end
  end
  if is_newer then
    if ARGV[2] == '0' then redis.call('SET', key, new) else redis.call('SET', key, new, 'PX', ARGV[2]) end
    written = written + 1
  end
end
return written
"""

# The same for hashes. ARGV: overwrite, time to live, name of the time's field; then for each row its event time in
# seconds and nanoseconds, the number of words that follow, and these: field, value, field, value.
# The time in the hash is a protobuf message; one of before 1970 (ten bytes) counts as older than any.
_FEAST = """
local function time_of(raw)
  local parts, at = {0, 0}, 1
  while at <= #raw do
    local field = math.floor(string.byte(raw, at) / 8)
    local value, factor = 0, 1
    repeat
      at = at + 1
      local byte = string.byte(raw, at) or 0
      value = value + (byte % 128) * factor
      factor = factor * 128
    until byte < 128
    at = at + 1
    if factor >= 2 ^ 70 then return -1, 0 end
    parts[field] = value
  end
  return parts[1], parts[2]
end
local written, at = 0, 4
for _, key in ipairs(KEYS) do
  local seconds, nanos, count = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local is_newer = ARGV[1] == '1'
  if not is_newer then
    local old = redis.call('HGET', key, ARGV[3])
    if not old then
      is_newer = true
    else
      local old_seconds, old_nanos = time_of(old)
      is_newer = seconds > old_seconds or (seconds == old_seconds and nanos > old_nanos)
    end
  end
  if is_newer then
    redis.call('HSET', key, unpack(ARGV, at + 3, at + 2 + count))
    if ARGV[2] ~= '0' then redis.call('PEXPIRE', key, ARGV[2]) end
    written = written + 1
  end
  at = at + 3 + count
end
return written
"""


class StoreClient(Protocol):
    """What is needed of redis-py's asyncio clients, which must give bytes."""

    def eval(self, script: str, numkeys: int, *keys_and_args: Any) -> Any: ...


@runtime_checkable
class _ClusterClient(Protocol):
    def keyslot(self, key: bytes) -> int: ...


@dataclass(frozen=True, slots=True)
class NewRow:
    """One entity's features at one time."""

    entity: Sequence[object]
    """Values of the view's entities, in its order."""
    values: Mapping[str, object] | Sequence[object]
    """By name, where a feature that is not named has no value; or one per feature, in the view's order."""
    event_time: datetime | int
    """When the values were true: with a time zone, or microseconds since 1970."""


@dataclass(slots=True)
class EncodedRow:
    """A row that was checked and is ready to be sent. Plain, because there are millions of them."""

    key: bytes
    event_time_us: int
    content: bytes | Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the rows."""

    written: int
    skipped: int
    """The store had them as new or newer."""


class Writer:
    """
    Writes the rows of one view. The client is the caller's, who closes it.

    ``timeout`` bounds each round trip. With ``overwrite`` event times are not compared.
    """

    def __init__(
        self,
        client: StoreClient,
        view: FeatureView,
        *,
        prefix: str = DEFAULT_PREFIX,
        timeout: float = 5.0,
        overwrite: bool = False,
    ) -> None:
        self._client, self._view, self._timeout = client, view, timeout
        self._names = frozenset(feature.name for feature in view.features)
        self._feast = FeastCodec(view) if view.format == "feast" else None
        self._compact = RowCodec(view)
        self._key = feast_key_maker(view) if self._feast else key_maker(view, prefix)
        ttl = view.ttl_seconds
        self._options = [b"1" if overwrite else b"0", b"%d" % (0 if ttl is None else round(ttl * 1000))]

    async def write(self, rows: Iterable[NewRow]) -> Written:
        """
        Write all rows, batch by batch.

        Raises ``BadEntity`` or ``BadValue`` before anything of the row's batch is sent, ``Unavailable`` when the store
        does not answer, ``StoreRefused`` when it answers with an error. What was sent before stays written.
        """
        written = skipped = 0
        source = iter(rows)
        while batch := [self.encode(row) for row in islice(source, BATCH_ROWS)]:
            result = await self.send(batch)
            written += result.written
            skipped += result.skipped
        return Written(written, skipped)

    def encode(self, row: NewRow) -> EncodedRow:
        """Raises ``BadEntity`` or ``BadValue``."""
        time_us = event_time_us(self._view, row.event_time)
        key = self._key(row.entity)
        values = row.values
        if isinstance(values, Mapping):
            if unknown := values.keys() - self._names:
                named = ", ".join(sorted(map(repr, unknown)))
                raise BadValue(f'view "{self._view.name}": no feature named {named}')
            values = [values.get(feature.name, ABSENT) for feature in self._view.features]
        codec = self._feast or self._compact
        return EncodedRow(key, time_us, codec.encode(values, time_us))

    async def send(self, rows: Sequence[EncodedRow]) -> Written:
        """Write rows that were encoded before. Raises ``Unavailable`` or ``StoreRefused``."""
        written = 0
        for groups in self._rounds(rows):
            written += sum(await asyncio.gather(*(self._run(group) for group in groups)))
        return Written(written, len(rows) - written)

    def _rounds(self, rows: Sequence[EncodedRow]) -> Iterator[Sequence[Sequence[EncodedRow]]]:
        """What is sent at the same time: one batch, or to a cluster one per slot."""
        for at in range(0, len(rows), BATCH_ROWS):
            batch = rows[at : at + BATCH_ROWS]
            if not isinstance(self._client, _ClusterClient):
                yield [batch]
                continue
            by_slot: dict[int, list[EncodedRow]] = {}
            for row in batch:
                by_slot.setdefault(self._client.keyslot(row.key), []).append(row)
            groups = list(by_slot.values())
            for first in range(0, len(groups), _AT_ONCE):
                yield groups[first : first + _AT_ONCE]

    async def _run(self, rows: Sequence[EncodedRow]) -> int:
        """One call of the script."""
        arguments: list[Any] = list(self._options)
        if self._feast:
            arguments.append(self._feast.fields[-1])
            for row in rows:
                assert not isinstance(row.content, bytes)  # noqa: S101  # encoded by the same codec
                seconds, rest = divmod(row.event_time_us, 1_000_000)
                arguments += (seconds, rest * 1000, 2 * len(row.content))
                for pair in row.content.items():
                    arguments += pair
        else:
            arguments += [row.content for row in rows]
        script = _FEAST if self._feast else _COMPACT
        try:
            async with asyncio.timeout(self._timeout):
                return int(await self._client.eval(script, len(rows), *[row.key for row in rows], *arguments))
        except ResponseError as error:
            raise StoreRefused(f'view "{self._view.name}": the store refused to write: {error}') from error
        except (TimeoutError, RedisTimeout) as error:
            raise Unavailable(f"the store did not answer within {self._timeout:g} s") from error
        except (RedisError, RedisClusterException, OSError) as error:
            raise Unavailable(f"the store cannot be reached: {error}") from error


def event_time_us(view: FeatureView, value: object) -> int:
    """Microseconds since 1970. Raises ``BadValue``."""
    try:
        checked = datatype("timestamp").check(value)
    except (TypeError, ValueError) as error:
        raise BadValue(f'view "{view.name}", event time: {error}') from None
    assert isinstance(checked, int)  # noqa: S101  # what a timestamp is
    return checked

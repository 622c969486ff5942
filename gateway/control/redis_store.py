"""
The desired state in a Redis or Valkey that several servers share: the newest document, the past ones, and their list.

A write compares the version and puts the document, its line of the history and the past document in one step, so that
of two who change the same version one wins and nothing is half there. The three keys have one hash tag, which keeps
them on one server of a cluster. Every call is bounded in time, and no error shows the address, which may hold a
password.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

import msgspec
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.control.control_config import ControlConfig
from gateway.control.document import Document, Entry
from gateway.control.source import Conflict, SourceUnavailable
from gateway.core.errors import ConfigError, NotFound

__all__ = ["Mark", "RedisStore"]

T = TypeVar("T")
Mark: TypeAlias = tuple[int, bytes]
"""A version and the token of its write: a store that has lost something may give the same number again."""

_TIMEOUT_S = 2.0
_SOCKET_S = 1.0
_PING_S = 15.0
"""Between two pings where nothing is heard."""

_PUT = """
local found = redis.call('HMGET', KEYS[1], 'version', 'token')
if found[2] == ARGV[3] then return -1 end
local version = tonumber(found[1]) or 0
if version ~= tonumber(ARGV[1]) or (ARGV[8] ~= '' and found[2] ~= ARGV[8]) then return version end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'token', ARGV[3], 'document', ARGV[4])
redis.call('LPUSH', KEYS[2], ARGV[5])
redis.call('HSET', KEYS[3], ARGV[2], ARGV[4])
while redis.call('LLEN', KEYS[2]) > tonumber(ARGV[6]) do
  redis.call('HDEL', KEYS[3], string.format('%d', cjson.decode(redis.call('RPOP', KEYS[2])).version))
end
redis.call('PUBLISH', ARGV[7], ARGV[2])
return -1
"""
"""-1: done, maybe by an earlier try of the same write whose answer was lost. Else the version that is there."""


class RedisStore:
    """Everything raises ``SourceUnavailable``, and ``ConfigError`` for what is there and cannot be understood."""

    def __init__(self, config: ControlConfig, token: Callable[[], str] = lambda: secrets.token_hex(16)) -> None:
        """Connects to nothing yet. Raises ``ConfigError``."""
        self._client, self._hearing = _clients(config)
        self._keep, self._token = config.keep, token
        prefix = f"lockgate:{{{config.name}}}:"
        self._keys = [prefix + name for name in ("newest", "history", "past")]
        self._channel = f"{prefix}changed"

    async def mark(self) -> Mark | None:
        """Of what is there now."""
        return _mark(await self._bounded(self._client.hmget(self._keys[0], ["version", "token"])))

    async def newest(self) -> tuple[Mark, bytes] | None:
        """What is there now, to be ``decoded``."""
        found = await self._bounded(self._client.hmget(self._keys[0], ["version", "token", "document"]))
        mark = _mark(found)
        return None if mark is None else (mark, found[2] or b"")

    def decoded(self, body: bytes) -> Document:
        return _decoded(body, Document)

    async def put(self, document: Document, expected: int, token: bytes = b"") -> bytes:
        """
        As the newest, where ``expected`` is (0: where nothing is), with that token if given. Returns the token of this
        write. Raises ``Conflict``.
        """
        body = msgspec.json.encode(document)
        entry = msgspec.json.encode(document.entry)
        own = self._token()
        values = [expected, document.version, own, body, entry, self._keep, self._channel, token]
        found = int(await self._bounded(self._client.eval(_PUT, len(self._keys), *self._keys, *values)))
        if found >= 0:
            raise Conflict(expected, found)
        return own.encode()

    async def entries(self) -> list[Entry]:
        """Newest first."""
        found = await self._bounded(self._client.lrange(self._keys[1], 0, -1))
        return [_decoded(each, Entry) for each in found]

    async def past(self, version: int) -> Document:
        """Raises ``NotFound``."""
        found = await self._bounded(self._client.hget(self._keys[2], str(version)))
        if found is None:
            raise NotFound(f"version {version} is not in the history")
        return _decoded(found, Document)

    async def listen(self, heard: Callable[[], object]) -> None:
        """Call ``heard`` on every change until the connection is lost; what came before is not told."""
        try:
            async with self._hearing.pubsub() as hearing:
                await _cancellable(hearing.subscribe(self._channel))
                while True:
                    message = await _cancellable(hearing.get_message(ignore_subscribe_messages=True, timeout=_PING_S))
                    if message is None:
                        await _cancellable(hearing.ping())
                    elif message["type"] == "message":  # and not the answer to a ping
                        heard()
        except (RedisError, OSError, TimeoutError) as error:
            raise SourceUnavailable(_told(error)) from error

    async def close(self) -> None:
        await self._client.aclose()
        if self._hearing is not self._client:
            await self._hearing.aclose()

    async def _bounded(self, call: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return await _cancellable(call)
        except (RedisError, OSError, TimeoutError) as error:
            raise SourceUnavailable(_told(error)) from error


async def _cancellable(call: Awaitable[T]) -> T:
    """The client sends with ``asyncio.wait_for``, which before Python 3.12 may swallow that its task is cancelled."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    done = await call
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
    return done


def _told(error: Exception) -> str:
    return f"the Redis of the desired state does not answer ({type(error).__name__})"


def _mark(found: list[bytes | None]) -> Mark | None:
    version, token, *_ = found
    if version is None:
        return None
    if not version.isdigit() or token is None:
        raise ConfigError("control.redis_url", "expected a state of Lockgate in the Redis")
    return int(version), token


def _decoded(found: Any, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(found or b"", type=kind)
    except msgspec.MsgspecError as error:
        raise ConfigError("control.redis_url", f"expected a state of Lockgate in the Redis: {error}") from error


def _clients(config: ControlConfig) -> tuple[Any, Any]:
    """For commands, and to listen with: on a cluster every server tells of everything."""
    url = config.redis_url
    if config.redis_url_file is not None:
        try:
            url = config.redis_url_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError("control.redis_url_file", "expected a file with an address in it") from error
    # One more try, for a connection that a restarted server does not know any more: every call may be made twice.
    settings: dict[str, Any] = {
        "socket_timeout": _SOCKET_S,
        "socket_connect_timeout": _SOCKET_S,
        "retry": Retry(NoBackoff(), 1),
    }
    plain = url.replace("+cluster://", "://", 1)
    try:
        client = Redis.from_url(plain, **settings)
        if plain == url:
            return client, client
        return RedisCluster.from_url(plain, require_full_coverage=False, **settings), client
    except ValueError as error:
        # The error may repeat the address, and with it a password.
        raise ConfigError("control.redis_url", "expected an address such as rediss://host:6379/0") from error

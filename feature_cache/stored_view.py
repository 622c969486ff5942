"""One view as it is stored: which key, which command reads it, and what an answer means; compiled once."""

from __future__ import annotations

from collections.abc import Sequence

from feature_cache.encoding import RowCodec
from feature_cache.errors import CorruptValue
from feature_cache.feast import FeastCodec, feast_key_maker, feast_key_prefix
from feature_cache.keys import DEFAULT_PREFIX, KeyMaker, key_maker, key_prefix
from feature_cache.resp import Reply, ReplyError, command
from feature_cache.row import NOT_FOUND, Row, RowState
from feature_cache.schema import FeatureView

__all__ = ["StoredView"]


class StoredView:
    """``key`` makes the key of an entity; ``fetch`` is the command for it; ``row`` reads the answer."""

    __slots__ = ("_feast", "_fields", "_rows", "key", "prefix", "slot", "view")

    key: KeyMaker

    def __init__(self, view: FeatureView, prefix: str = DEFAULT_PREFIX) -> None:
        self.view = view
        # Feast keeps several views under one key: what is known of a key within the process is told apart by this.
        self.slot = b"\0" + view.name.encode() if view.format == "feast" else b""
        self._feast: FeastCodec | None = None
        if view.format == "feast":
            self._feast = FeastCodec(view)
            self._fields = command(*self._feast.fields).partition(b"\r\n")[2]
            self.prefix, self.key = feast_key_prefix(view), feast_key_maker(view)
        else:
            self._rows = RowCodec(view)
            self.prefix, self.key = key_prefix(view, prefix), key_maker(view, prefix)

    def fetch(self, key: bytes) -> bytes:
        """The command that reads a row, as it goes over the wire."""
        if self._feast is None:
            return b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key)
        return b"*%d\r\n$5\r\nHMGET\r\n$%d\r\n%b\r\n%b" % (2 + len(self._feast.fields), len(key), key, self._fields)

    def row(self, reply: Reply) -> Row:
        """The row of an answer that is no error of the store. What cannot be read is a row too: a corrupt one."""
        if reply is None:
            return NOT_FOUND
        try:
            if self._feast is None and type(reply) is bytes:
                return self._rows.decode(reply)
            if self._feast is not None and type(reply) is list and len(reply) == len(self._feast.fields):
                return self._feast.decode(reply)
        except CorruptValue as error:
            return Row(RowState.CORRUPT, error=str(error))
        return Row(RowState.CORRUPT, error=f'view "{self.view.name}": not an answer to what was asked')

    def named(self, row: Row, entity: Sequence[object]) -> Row:
        """A corrupt row whose error says of which entity."""
        key = ", ".join(f"{each.name}={value!r}" for each, value in zip(self.view.entities, entity, strict=True))
        return Row(RowState.CORRUPT, error=f"{row.error} ({key})")

    def wrong_type(self, error: ReplyError) -> Row | None:
        """The row, if this error says that something else than a row is stored there."""
        if error.code != "WRONGTYPE":
            return None
        return Row(RowState.CORRUPT, error=f'view "{self.view.name}": the key holds another type')

    def size(self, reply: Reply) -> int:
        """Bytes of an answer, about."""
        if reply is None:
            return 0
        return len(reply) if self._feast is None else sum(map(len, filter(None, reply)))

"""
Loads a file of features into a store: in batches, with a note of how far it came, so that it can go on after that.

The note is a small file, replaced after each batch. It counts only for the same file, view and store; because the
writer never puts older rows over newer ones, writing a batch twice does no harm, and the note need not be exact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from feature_cache.errors import FeatureError
from feature_cache.keys import fingerprint
from feature_cache.schema import FeatureView
from feature_cache.tables import Reject, Table
from feature_cache.writer import EncodedRow, Writer

__all__ = ["Checkpoint", "Loaded", "identity", "load_table"]

BATCH_ROWS = 2048
"""Read from the file at once; the writer cuts them smaller."""


@dataclass(slots=True)
class Loaded:
    """What became of the rows so far."""

    rows: int = 0
    """Of the file, rejects included."""
    written: int = 0
    skipped: int = 0
    """The store had them as new or newer."""
    rejected: int = 0


class _Note(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the checkpoint file says."""

    identity: str
    now_us: int
    rows: int
    written: int
    skipped: int
    rejected: int


class Checkpoint:
    """The note at ``path`` of a load that is known by ``identity``."""

    def __init__(self, path: Path, identity: str) -> None:
        self.path, self._identity = path, identity

    def read(self) -> tuple[Loaded, int] | None:
        """How far the same load came, and what it took for now; None when there is no note of it."""
        try:
            note = msgspec.json.decode(self.path.read_bytes(), type=_Note)
        except (OSError, msgspec.DecodeError):
            return None
        if note.identity != self._identity:
            return None
        return Loaded(note.rows, note.written, note.skipped, note.rejected), note.now_us

    def write(self, done: Loaded, now_us: int) -> None:
        """Raises ``OSError``."""
        note = _Note(
            identity=self._identity,
            now_us=now_us,
            rows=done.rows,
            written=done.written,
            skipped=done.skipped,
            rejected=done.rejected,
        )
        new = self.path.with_name(f"{self.path.name}.new")
        new.write_bytes(msgspec.json.encode(note))
        new.replace(self.path)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def identity(path: Path, view: FeatureView, url: str) -> str:
    """Tells one load from another: the file as it is now, the view's columns, and where the rows go."""
    facts = path.stat()
    words = [str(path.resolve()), str(facts.st_size), str(facts.st_mtime_ns), view.name, view.format, fingerprint(view)]
    return hashlib.sha256("\0".join([*words, url]).encode()).hexdigest()


async def load_table(
    table: Table,
    writer: Writer,
    *,
    now_us: int,
    done: Loaded | None = None,
    checkpoint: Checkpoint | None = None,
    is_dry: bool = False,
    on_progress: Callable[[Loaded, int], None] = lambda _done, _position: None,
    on_reject: Callable[[Reject], None] = lambda _reject: None,
) -> Loaded:
    """
    Write all rows behind those that are ``done``; with ``is_dry`` only check them.

    ``on_progress`` gets the state and the position in the file after each batch. Raises ``BadTable``, ``Unavailable``
    or ``StoreRefused``; the checkpoint then tells of all that was written before.
    """
    done = done or Loaded()
    for batch in table.batches(BATCH_ROWS, skip=done.rows):
        encoded: list[EncodedRow] = []
        rejects = list(batch.rejects)
        for number, row in batch.rows:
            try:
                encoded.append(writer.encode(row))
            except FeatureError as error:
                rejects.append(Reject(number, str(error)))
        if encoded and not is_dry:
            result = await writer.send(encoded)
            done.written += result.written
            done.skipped += result.skipped
        for reject in sorted(rejects, key=lambda each: each.row):
            on_reject(reject)
        done.rejected += len(rejects)
        done.rows = batch.end - 1
        if checkpoint is not None and not is_dry:
            checkpoint.write(done, now_us)
        on_progress(done, batch.position)
    return done

"""
Which versions ran here and which were refused, so that a rollback and a restart lead to one that did run: the history
tells of all.

They are kept in the state directory, newest last. A file that is lost or damaged is no reason to refuse anything: then
it is not known.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import structlog

from gateway.control.disk import Disk

__all__ = ["Ran"]

log = structlog.get_logger()


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    ran: list[int] = []
    refused: list[int] = []


class Ran:
    """The newest ``keep`` of each. Blocks for the time of the disk: call it in a thread."""

    def __init__(self, file: Path, keep: int, disk: Disk | None = None) -> None:
        self._file, self._keep, self._disk = file, keep, disk or Disk()
        self._kept = self._read()

    @property
    def refused(self) -> frozenset[int]:
        """Those that have not run since."""
        return frozenset(self._kept.refused)

    def note(self, version: int, refused: int | None = None) -> None:
        """
        This one runs, and that one was refused. Versions only grow; where they do not, the state was begun anew, and
        ours are of another.
        """
        ran, not_run = self._kept.ran, set(self._kept.refused)
        if version > 0 and ran[-1:] != [version]:
            if ran and version < ran[-1]:
                not_run = {each for each in not_run if each < version}
            ran = [*(each for each in ran if each < version), version][-self._keep :]
        if refused is not None:
            not_run.add(refused)
        kept = _Kept(ran=ran, refused=sorted(not_run - {version})[-self._keep :])
        if kept == self._kept:
            return
        self._kept = kept
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._disk.write(self._file, msgspec.json.encode(kept))
        except OSError as error:
            log.warning("control.not_kept", version=version, reason=error.strerror)

    def before(self, version: int) -> list[int]:
        """Those that ran before it, the last one first."""
        return [each for each in reversed(self._kept.ran) if each < version]

    def _read(self) -> _Kept:
        try:
            kept = msgspec.json.decode(self._file.read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError):
            return _Kept()
        return _Kept(ran=sorted(kept.ran), refused=sorted(kept.refused))

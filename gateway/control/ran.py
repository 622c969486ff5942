"""
Which versions ran here, so that the way back leads to one that did: the history tells of refused ones too.

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


class Ran:
    """``refused`` are those that this process knows of. Blocks for the time of the disk: call it in a thread."""

    def __init__(self, file: Path, keep: int, disk: Disk | None = None) -> None:
        self._file, self._keep, self._disk = file, keep, disk or Disk()
        self._versions = self._read()
        self.refused: set[int] = set()

    def note(self, version: int) -> None:
        """This one runs. Versions only grow; where they do not, the state was begun anew, and ours are of another."""
        if version < 1 or (self._versions and self._versions[-1] == version):
            return
        self._versions = [*(each for each in self._versions if each < version), version][-self._keep :]
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._disk.write(self._file, msgspec.json.encode(self._versions))
        except OSError as error:
            log.warning("control.not_kept", version=version, reason=error.strerror)

    def before(self, version: int) -> list[int]:
        """Those that ran before it, the last one first."""
        return [each for each in reversed(self._versions) if each < version]

    def _read(self) -> list[int]:
        try:
            return sorted(msgspec.json.decode(self._file.read_bytes(), type=list[int]))
        except (OSError, msgspec.MsgspecError):
            return []

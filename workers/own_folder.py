"""
The temporary folder of a group of workers: it goes with the group, and those of killed groups go when the next starts.

Who is killed removes nothing, and what R and a model have put there would stay for ever. So each group holds a lock on
its folder, together with its workers: the kernel takes it back when the last of them is gone, however that came about,
and a folder that nobody holds is nobody's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["own_folder"]

_UNHELD, _HELD = "lockgate-new-", "lockgate-group-"
"""
A folder gets its second name, by which others find it, when it is held: until then it looks like one that was left
behind, and always where it cannot be held.
"""


@contextmanager
def own_folder() -> Iterator[Path]:
    """A new folder where temporary files lie, for the length of the block."""
    root = Path(tempfile.gettempdir())
    _remove_left_behind(root)
    folder = Path(tempfile.mkdtemp(prefix=_UNHELD, dir=root))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # a file system without locks, or without one at this moment
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder = folder.rename(root / (_HELD + folder.name.removeprefix(_UNHELD)))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _remove_left_behind(root: Path) -> None:
    for folder in root.glob(f"{_HELD}*"):
        with suppress(OSError):  # somebody else's, held, or just removed by another group
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)

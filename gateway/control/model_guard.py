"""
Which models a change through the admin API may name: a model is code, and its path is whatever the caller sends.

Everything here is asked before anything of a path is read. What lies in no folder for models is refused alike, whether
it is there or not.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from gateway.control.disk import is_of_path
from gateway.control.document import Document
from gateway.control.model_files import model_paths
from gateway.core.errors import Forbidden, InvalidInput

__all__ = ["ModelGuard", "check_seeds", "refuse_taking_over"]

_ABSENT = (errno.ENOENT, errno.ENOTDIR)
"""Told by whoever checks the whole document."""


class ModelGuard:
    """
    ``folders`` are those of ``control.models``. Without any they are the ``served`` folder, and those that models of
    the newest state lie in: what is served has its next version there.
    """

    def __init__(self, folders: Sequence[Path], served: Path) -> None:
        self._folders, self._served = folders, served

    def check(self, endpoints: Mapping[str, Mapping[str, Any]], newest: Document) -> None:
        """
        Follows links, so call it in a thread. A model that the endpoint has already may stay where it is. Raises
        ``InvalidInput``, and ``OSError`` where a disk does not answer.
        """
        folders = self._allowed(newest)
        for endpoint, key, path in _named(endpoints):
            is_new = path not in model_paths({endpoint: newest.endpoints.get(endpoint, {})})
            if is_new and not _is_below(key, path, folders):
                raise InvalidInput(f"{key}: expected a model below {self._shown()}")
            _look(key, path)

    def _allowed(self, newest: Document) -> set[Path]:
        if self._folders:
            return {Path(os.path.realpath(folder)) for folder in self._folders}
        beside = {Path(os.path.realpath(path)).parent for path in model_paths(newest.endpoints)}
        return {Path(os.path.realpath(self._served)), *(folder for folder in beside if folder != folder.parent)}

    def _shown(self) -> str:
        if self._folders:
            return "one of the folders of control.models in lockgate.yaml, when links are followed"
        return "the served folder, or beside one that is served; control.models in lockgate.yaml names other folders"


def check_seeds(views: Mapping[str, Mapping[str, Any]]) -> None:
    """Whether their files can be looked at. Raises ``InvalidInput``, and ``OSError`` likewise."""
    for name, view in views.items():
        if isinstance(seed := view.get("seed"), str):
            _look(f"views.{name[:64]}.seed", seed)


def refuse_taking_over(newest: Document, digests: Mapping[str, str], may_deploy: Callable[[str], bool]) -> None:
    """
    ``digests`` are what the models of a change are now. Where they were something else, everybody who names them gets
    the new files: raises ``Forbidden`` unless the caller may do that to all of them.
    """
    for path, digest in digests.items():
        if newest.models.get(path, digest) == digest:
            continue
        for endpoint, settings in newest.endpoints.items():
            if not may_deploy(endpoint) and path in model_paths({endpoint: settings}):
                raise Forbidden(
                    f"the files of {path} have changed, and an endpoint that you may not deploy has that model too:"
                    " give yours a folder of its own"
                )


def _named(endpoints: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Endpoint, key and path of each model; a path that is not absolute is refused as one elsewhere."""
    for name, endpoint in endpoints.items():
        deployments = endpoint.get("deployments")
        for deployment, settings in deployments.items() if isinstance(deployments, Mapping) else ():
            path = settings.get("model") if isinstance(settings, Mapping) else None
            if isinstance(path, str) and PurePosixPath(path).is_absolute():
                yield name, f"endpoints.{name[:64]}.deployments.{deployment[:64]}.model", path


def _is_below(key: str, path: str, folders: set[Path]) -> bool:
    try:
        real = Path(os.path.realpath(path))
    except ValueError as error:  # a NUL
        raise InvalidInput(f"{key}: expected a path, got one with a character that no path has") from error
    return not folders.isdisjoint(real.parents)


def _look(key: str, path: str) -> None:
    try:
        os.stat(path)  # noqa: PTH116  # Path.stat is the same, and Path.exists swallows some of it
    except ValueError as error:
        raise InvalidInput(f"{key}: expected a path, got one with a character that no path has") from error
    except OSError as error:
        if not is_of_path(error):
            raise
        if error.errno not in _ABSENT:
            raise InvalidInput(f"{key}: cannot be looked at: {error.strerror}") from error

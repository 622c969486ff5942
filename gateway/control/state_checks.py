"""
What a change has to pass before it is written: the files that it names, and the document that it leads to.

No path is looked at for anybody who may not deploy what names it. Everything here reads files, and does so in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from gateway.control.disk import is_of_path
from gateway.control.document import Document
from gateway.control.model_files import ModelFiles
from gateway.control.model_guard import ModelGuard, check_seeds, refuse_taking_over
from gateway.control.source import SourceUnavailable
from gateway.control.state_sight import Judge, Settings, Sight
from gateway.core.access import Principal, Role
from gateway.core.errors import ConfigError, InvalidInput

__all__ = ["StateChecks"]

T = TypeVar("T")


class StateChecks:
    """
    ``check`` composes a document into a configuration and raises ``ConfigError``; it is called in a thread, as are
    ``models`` and ``guard``.

    Every method raises ``InvalidInput`` for what is wrong, and ``SourceUnavailable`` where a disk does not answer.
    """

    def __init__(
        self, judge: Judge, sight: Sight, check: Callable[[Document], object], models: ModelFiles, guard: ModelGuard
    ) -> None:
        self._judge, self._sight, self._check, self._models, self._guard = judge, sight, check, models, guard

    async def seeds(self, views: Mapping[str, Settings]) -> None:
        """Of new views."""
        await _told(lambda: check_seeds(views))

    async def files(self, past: Document) -> None:
        """Whether the models still are those of that version."""
        await _told(lambda: self._models.check(past))

    async def digests(
        self, principal: Principal, newest: Document, endpoints: Mapping[str, Settings]
    ) -> Mapping[str, str]:
        """Of the models that a change names, if it may name them."""
        if not endpoints:
            return {}
        await _told(lambda: self._guard.check(endpoints, newest))
        digests = await _told(lambda: self._models.digests(endpoints))
        refuse_taking_over(newest, digests, lambda endpoint: principal.may(Role.DEPLOY, endpoint))
        return digests

    def may_deploy(self, principal: Principal, endpoints: Iterable[str], *, is_everything: bool) -> bool:
        """Whether the caller could make the change at all."""
        if is_everything:
            return self._judge.holds_on_all(principal, Role.DEPLOY)
        return all(principal.may(Role.DEPLOY, endpoint) for endpoint in endpoints)

    async def whole(self, document: Document, principal: Principal) -> None:
        """Whether the document could run, as far as that can be told without loading anything."""
        try:
            await _told(lambda: self._check(document))
        except InvalidInput as error:
            raise self._sight.refusal(error, document, principal) from error


async def _told(work: Callable[[], T]) -> T:
    """In a thread; what is wrong is told to whoever asked."""
    try:
        return await asyncio.to_thread(work)
    except ConfigError as error:
        raise InvalidInput(str(error)) from error
    except OSError as error:
        if is_of_path(error):
            raise InvalidInput(f"a path cannot be looked at: {error.strerror}") from error
        raise SourceUnavailable(f"files cannot be looked at: {error.strerror}; nothing was changed") from error

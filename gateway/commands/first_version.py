"""
Which version a start begins with: the newest, or, where that was refused while the server ran, what ran last before it.

So a restart serves what was served. What was refused is then tried anew as any change is, and taken if it runs now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from gateway.config import Config
from gateway.control.document import Document
from gateway.control.ran import Ran
from gateway.control.source import Source
from gateway.core.errors import GatewayError, NotFound

__all__ = ["first_version"]

log = structlog.get_logger()


async def first_version(
    source: Source, newest: Document, ran: Ran, compose: Callable[[Document], Awaitable[Config]]
) -> tuple[Document, Config]:
    """
    The document, and what ``compose`` makes of it. Of what ran before every file has to be there as it was: otherwise
    the start is with the newest all the same. Raises ``ConfigError`` where that cannot be composed.
    """
    if newest.version in ran.refused:
        try:
            found = await _last_that_ran(source, newest, ran)
            config = await compose(found)
        except (GatewayError, OSError) as error:
            log.warning("control.started_from_refused", version=newest.version, reason=str(error))
        else:
            log.warning("control.started_from_last_run", version=found.version, refused=newest.version)
            return found, config
    return newest, await compose(newest)


async def _last_that_ran(source: Source, newest: Document, ran: Ran) -> Document:
    before = ran.before(newest.version)
    if not before:
        raise NotFound("no version is known to have run before")
    return await source.past(before[0])

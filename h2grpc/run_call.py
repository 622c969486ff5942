"""
One call's handler from its first step to the status of the call, as the body of a task.

Whatever a handler does ends its call: it returns, raises, aborts, is cancelled, or sets a code. Its generator is closed
with the call. An exception that nobody expected is logged here and told to the caller by its kind alone; a message that
cannot be read is the caller's doing and is not logged.

Servicers, and handlers of requests that are no gRPC, are not ours: this file is the library's fence around them, and
``Method.read`` the one around their deserializers. Nowhere else is an exception caught by a broader name than its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any

from h2grpc.context import AbortError, ServicerContext
from h2grpc.errors import WireError
from h2grpc.other import OtherAnswer, OtherHandler, OtherRequest
from h2grpc.status import Status

if TYPE_CHECKING:
    from h2grpc.server_driver import ServerDriver

__all__ = ["run", "run_other", "run_unary"]

_log = logging.getLogger("h2grpc")


async def run_unary(driver: ServerDriver, context: ServicerContext, request: bytes | None) -> None:
    method = context.method
    try:
        reply = method.behavior(method.read(request), context)
        if method.is_coroutine or hasattr(reply, "__await__"):
            reply = await reply
        driver.answer(context, reply if (serialize := method.serialize) is None else serialize(reply))
    except asyncio.CancelledError:
        driver.finish(context, Status.CANCELLED, "the handler was cancelled")
        raise
    except Exception as error:  # noqa: BLE001  # the fence around handlers
        _failed(driver, context, error)
    finally:
        driver.contexts.discard(context)


async def run(driver: ServerDriver, context: ServicerContext) -> None:
    method = context.method
    try:
        request = context if method.request_streaming else method.read(context.request)
        reply = method.behavior(request, context)
        if hasattr(reply, "__aiter__"):
            await _pass_on(reply, context)
        else:
            if hasattr(reply, "__await__"):
                reply = await reply
            if not method.response_streaming:
                driver.send_message(context, context.serialized(reply))
        driver.finish(context, context.code(), context.details())
    except asyncio.CancelledError:
        driver.finish(context, Status.CANCELLED, "the handler was cancelled")
        raise
    except Exception as error:  # noqa: BLE001  # the fence around handlers
        _failed(driver, context, error)


async def _pass_on(reply: AsyncIterator[Any], context: ServicerContext) -> None:
    """What a generator yields; it is closed at once when nobody wants more, not when it is collected."""
    try:
        async for message in reply:
            await context.write(message)
    finally:
        if isinstance(reply, AsyncGenerator):
            await reply.aclose()


def _failed(driver: ServerDriver, context: ServicerContext, error: Exception) -> None:
    if isinstance(error, AbortError) or context.done():
        return
    status, details = context.code(), context.details()
    if isinstance(error, WireError):
        status, details = error.status, str(error)
    elif status is Status.OK:
        _log.exception("h2grpc.handler_crashed", extra={"path": context.path.decode("latin-1")})
        status, details = Status.UNKNOWN, f"the handler failed with {type(error).__name__}"
    driver.finish(context, status, details)


async def run_other(driver: ServerDriver, handler: OtherHandler, request: OtherRequest) -> None:
    try:
        answer = await handler(request)
    except Exception:  # noqa: BLE001  # the fence around handlers
        _log.exception("h2grpc.other_crashed")
        answer = OtherAnswer(500)
    driver.answer_other(request, answer)

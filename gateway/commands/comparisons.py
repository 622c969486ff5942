"""What all gateways of a machine have compared, as one: each is asked with the credential of whoever asks us."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from urllib.parse import quote

import msgspec

from gateway.commands.admin_socket import ask
from gateway.core.errors import NotFound, NotReady
from gateway.routing.report import MirrorState, merged

__all__ = ["Comparisons"]

_PATIENCE = 5.0
"""Seconds."""


class Comparisons:
    """
    ``sockets``: index of a gateway → its admin socket; ``endpoints`` gives those that there are. A gateway that does
    not answer is left out.
    """

    def __init__(self, sockets: Mapping[str, Path], endpoints: Callable[[], Collection[str]]) -> None:
        self._sockets, self._endpoints = sockets, endpoints

    async def __call__(self, endpoint: str, credential: str | None) -> MirrorState:
        """Raises ``NotFound``, and ``NotReady`` when no gateway answers."""
        if endpoint not in self._endpoints():
            raise NotFound(f'no endpoint "{endpoint[:64]}" here')
        path = f"/endpoints/{quote(endpoint, safe='')}/comparison/state"
        answers = await asyncio.gather(*(_ask(socket, path, credential or "") for socket in self._sockets.values()))
        states = [answer for answer in answers if answer is not None]
        if not states:
            raise NotReady("no gateway answers at the moment")
        return merged(states)


async def _ask(socket: Path, path: str, credential: str) -> MirrorState | None:
    try:
        answer = await ask(socket, "GET", path, _PATIENCE, credential=credential)
        return msgspec.json.decode(answer.body, type=MirrorState) if answer.status == 200 else None
    except (OSError, msgspec.MsgspecError):
        return None

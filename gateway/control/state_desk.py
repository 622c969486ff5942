"""
The desired state as the admin API works with it: who reads it and who changes it, over one source and one judge.

Both halves see the same (``state_sight``) and are held to the same checks (``state_checks``).
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.control.document import Document
from gateway.control.model_files import ModelFiles
from gateway.control.model_guard import ModelGuard
from gateway.control.progress import Running
from gateway.control.ran import Ran
from gateway.control.source import Source
from gateway.control.state_checks import StateChecks
from gateway.control.state_reader import StateReader
from gateway.control.state_sight import Judge, Sight
from gateway.control.state_writer import StateWriter
from gateway.control.way_back import WayBack

__all__ = ["StateDesk"]


class StateDesk:
    """For ``check`` see ``StateChecks``."""

    def __init__(
        self,
        source: Source,
        judge: Judge,
        check: Callable[[Document], object],
        models: ModelFiles,
        *,
        guard: ModelGuard,
        running: Running,
        ran: Ran,
    ) -> None:
        sight = Sight(source, judge)
        checks = StateChecks(judge, sight, check, models, guard)
        self._way_back = WayBack(source, running, ran)
        self.reader = StateReader(source, judge, sight, checks, running, refused=lambda: ran.refused)
        self.writer = StateWriter(source, judge, sight, checks, running=running, way_back=self._way_back)

    async def run(self) -> None:
        """Remember which versions run and which are refused, until cancelled."""
        await self._way_back.run()

"""Settings that are read once: a change of them is told, by name and once."""

from __future__ import annotations

import errno

from structlog.testing import capture_logs

from gateway.commands.settings_watch import SettingsWatch
from gateway.config import Settings, raw_settings
from gateway.core.errors import ConfigError
from gateway.edge.config import EdgeConfig
from gateway.limits.config import LimitsConfig


class Settled:
    """A ``lockgate.yaml``, and whoever is told of changes."""

    def __init__(self) -> None:
        self.now: Settings | Exception = Settings()
        self.changes = 0
        self.watch = SettingsWatch(self._read, raw_settings(Settings()), self._changed)

    def _read(self) -> dict[str, object]:
        if isinstance(self.now, Exception):
            raise self.now
        return raw_settings(self.now)

    def _changed(self) -> None:
        self.changes += 1


async def test_a_file_as_it_was_needs_nothing() -> None:
    file = Settled()
    with capture_logs() as logs:
        await file.watch.look()

    assert (file.watch.differing, file.changes, logs) == ((), 0, [])


async def test_what_differs_is_named_by_its_place() -> None:
    file = Settled()
    file.now = Settings(gateways=2, edge=EdgeConfig(http_port=9443))
    await file.watch.look()

    assert file.watch.differing == ("edge.http_port", "gateways")


async def test_it_is_told_once_and_never_with_a_value() -> None:
    file = Settled()
    file.now = Settings(limits=LimitsConfig(redis_url="redis://:secret@there"))
    with capture_logs() as logs:
        await file.watch.look()
        await file.watch.look()

    assert logs == [{"event": "control.needs_restart", "settings": ["limits.redis_url"], "log_level": "warning"}]
    assert file.changes == 1


async def test_a_file_that_cannot_be_read_is_told_likewise() -> None:
    file = Settled()
    file.now = ConfigError("lockgate.yaml, line 2", "no such setting")
    await file.watch.look()

    assert file.watch.differing == ("lockgate.yaml, line 2: no such setting",)


async def test_a_folder_that_may_not_be_looked_at_is_told_likewise_and_ends_nothing() -> None:
    file = Settled()
    file.now = PermissionError(errno.EACCES, "Permission denied", "/etc/lockgate/lockgate.yaml")
    await file.watch.look()
    while_away = file.watch.differing
    file.now = Settings()
    await file.watch.look()

    assert while_away == ("/etc/lockgate/lockgate.yaml: cannot be read: Permission denied",)
    assert file.watch.differing == ()


async def test_going_back_ends_it() -> None:
    file = Settled()
    file.now = Settings(gateways=2)
    await file.watch.look()
    file.now = Settings()
    await file.watch.look()

    assert (file.watch.differing, file.changes) == ((), 2)

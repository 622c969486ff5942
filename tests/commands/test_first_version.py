"""A start begins with the newest version, or with what ran last where the newest was refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway.commands.first_version import first_version
from gateway.config import Config, Settings, compose
from gateway.control.document import Document, Entry
from gateway.control.ran import Ran
from gateway.core.errors import ConfigError
from tests.support.control_state import MemorySource


@dataclass(frozen=True, slots=True)
class Start:
    """Of a folder whose versions 1 to 3 each have a model of their own."""

    folder: Path
    source: MemorySource
    ran: Ran

    async def begin(self) -> tuple[int, list[str], list[dict[str, Any]]]:
        """The version that it is with, what is served then, and what was logged."""
        with capture_logs() as logs:
            found, config = await first_version(self.source, await self.source.read(), self.ran, self._compose)
        models = [str(each.model) for each in config.endpoints["sum"].deployments.values()]
        return found.version, [Path(model).parent.name for model in models], [dict(line) for line in logs]

    async def _compose(self, document: Document) -> Config:
        return compose(document, self.folder, Settings())


@pytest.fixture
def start(tmp_path: Path) -> Start:
    documents = []
    for version in (1, 2, 3):
        model = tmp_path / f"m{version}" / "model.onnx"
        model.parent.mkdir()
        model.write_bytes(b"a model")
        endpoint = {"name": "sum", "deployments": {"blue": {"model": str(model)}}}
        entry = Entry(version=version, at=0.0, by="files", what="")
        documents.append(Document(entry=entry, endpoints={"sum": endpoint}))
    source = MemorySource(documents[0])
    source.documents = documents
    return Start(tmp_path, source, Ran(tmp_path / "ran.json", keep=10))


def replaced(start: Start, version: int) -> None:
    """Its model is another one than that which the document names."""
    found = start.source.documents[version - 1]
    (path,) = (each["deployments"]["blue"]["model"] for each in found.endpoints.values())
    start.source.documents[version - 1] = msgspec.structs.replace(found, models={path: "another"})


async def test_the_newest_is_served_where_it_was_not_refused(start: Start) -> None:
    start.ran.note(2, refused=1)

    assert await start.begin() == (3, ["m3"], [])


async def test_what_ran_last_is_served_where_the_newest_was_refused(start: Start) -> None:
    start.ran.note(1)
    start.ran.note(2, refused=3)
    version, models, logs = await start.begin()

    assert (version, models) == (2, ["m2"])
    assert [(line["event"], line["version"], line["refused"]) for line in logs] == [
        ("control.started_from_last_run", 2, 3)
    ]


async def test_files_that_were_replaced_leave_only_the_newest_and_it_is_said_why(start: Start) -> None:
    start.ran.note(2, refused=3)
    replaced(start, 2)
    version, _, logs = await start.begin()

    assert version == 3
    assert logs[0]["event"] == "control.started_from_refused"
    assert "m2/model.onnx are not those of version 2" in logs[0]["reason"]


async def test_files_that_have_gone_leave_only_the_newest_and_it_is_said_why(start: Start) -> None:
    start.ran.note(2, refused=3)
    (start.folder / "m2" / "model.onnx").unlink()
    version, _, logs = await start.begin()

    assert (version, logs[0]["event"]) == (3, "control.started_from_refused")


async def test_where_nothing_ran_before_the_newest_is_served_and_it_is_said_why(start: Start) -> None:
    start.ran.note(0, refused=3)
    version, _, logs = await start.begin()

    assert (version, logs[0]["reason"]) == (3, "no version is known to have run before")


async def test_a_newest_that_cannot_be_composed_keeps_the_server_from_starting(start: Start) -> None:
    start.ran.note(0, refused=3)
    replaced(start, 3)
    with pytest.raises(ConfigError, match="are not those of version 3"):
        await start.begin()

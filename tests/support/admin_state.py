"""The admin API's routes of the desired state, on a real socket with real keys and models in real files."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from gateway.auth.bootstrap import StateFiles, prepare_state
from gateway.auth.config import AuthConfig
from gateway.auth.credentials import Credentials
from gateway.config import Settings, compose
from gateway.control.admin_api import PROBE_OPERATIONS, Readiness, serve_admin
from gateway.control.admin_comparison import COMPARISON_OPERATIONS
from gateway.control.admin_keys import KEY_OPERATIONS, key_routes
from gateway.control.admin_openapi import describing_routes
from gateway.control.admin_state import state_routes
from gateway.control.admin_state_forms import WorkerShown
from gateway.control.admin_state_operations import STATE_OPERATIONS
from gateway.control.document import Document
from gateway.control.model_files import ModelFiles
from gateway.control.model_guard import ModelGuard
from gateway.control.ran import Ran
from gateway.control.state_desk import StateDesk
from gateway.edge.plain_status import plain_status
from tests.support.control_state import FakeRunning, MemorySource, document

__all__ = ["OPERATIONS", "AdminState", "Reply", "serving_state"]

OPERATIONS = [*STATE_OPERATIONS, *KEY_OPERATIONS, *COMPARISON_OPERATIONS, *PROBE_OPERATIONS]

HEALTH = {
    "price": {
        "blue": {"ready": True, "weight": 90, "reason": ""},
        "green": {"ready": False, "weight": 10, "reason": "no such column"},
    }
}
WORKERS = (
    WorkerShown(name="gateway/0", phase="ready", pid=11),
    WorkerShown(name="price/blue", phase="ready", pid=12, workers=2, ready=2),
    WorkerShown(name="tumor/blue", phase="loading", pid=13, workers=1),
)


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    json: Any
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])

    @property
    def message(self) -> str:
        return str(self.json["error"]["message"])


class AdminState:
    """A served desired state: endpoints ``price`` (blue 90, green 10) and ``tumor``."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        for name in ("blue", "green", "next", "tumor"):
            (self.models / name).mkdir(parents=True)
            (self.models / name / "model.onnx").write_bytes(name.encode())
        self.price: dict[str, Any] = {
            "name": "price",
            "traffic": {"blue": 90, "green": 10},
            "deployments": {"blue": {"model": self.model("blue")}, "green": {"model": self.model("green")}},
        }
        self.tumor: dict[str, Any] = {"name": "tumor", "deployments": {"blue": {"model": self.model("tumor")}}}
        self.files_of_models = ModelFiles()
        endpoints = {"price": self.price, "tumor": self.tumor}
        self.source = MemorySource(document(endpoints, self.files_of_models.digests(endpoints)))
        self.running = FakeRunning()
        self.state = folder / "state"
        self.files: StateFiles = prepare_state(self.state)
        self.key = self.files.admin_key.read_text().strip()
        self.ran = Ran(self.state / "history" / "ran.json", 200)
        self.port = 0
        self.session: aiohttp.ClientSession

    def model(self, name: str) -> str:
        return str(self.models / name)

    def replace_files(self, name: str) -> None:
        """The model is another one from now on, at the same path."""
        Path(self.model(name), "model.onnx").write_bytes(b"another")

    @property
    def newest(self) -> Document:
        return self.source.newest

    async def ask(self, method: str, path: str, body: Any = None, key: str | None = "", seen: str = "") -> Reply:
        headers = {} if key is None else {"Authorization": f"Bearer {key or self.key}"}
        if seen:
            headers["If-Match"] = seen
        sent: dict[str, Any] = (
            {"data": io.BytesIO(body)} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        )
        async with self.session.request(method, path, headers=headers, **sent) as response:
            text = await response.read()
            is_json = response.content_type == "application/json" and text
            return Reply(response.status, await response.json() if is_json else text, response.headers)

    async def made(self, name: str, *roles: str, endpoints: list[str] | None = None) -> str:
        """A fresh key with these rights."""
        reply = await self.ask("POST", "/keys", {"name": name, "roles": roles, "endpoints": endpoints})
        assert reply.status == 201
        return str(reply.json["key"])

    async def readiness(self) -> Readiness:
        return Readiness(True, {"endpoints": HEALTH})

    async def metrics(self) -> bytes:
        return b""


@asynccontextmanager
async def serving_state(folder: Path, models: Sequence[Path] = ()) -> AsyncIterator[AdminState]:
    """Serves until the block ends; ``models`` is ``control.models``."""
    admin = AdminState(folder)
    credentials = Credentials(admin.files, AuthConfig(), {"price": "key", "tumor": "key"})
    desk = StateDesk(
        admin.source,
        credentials.judge,
        lambda wanted: compose(wanted, folder, Settings(), admin.files_of_models),
        admin.files_of_models,
        guard=ModelGuard(models, folder / "served"),
        running=admin.running,
        ran=admin.ran,
    )
    routes = [
        *key_routes(credentials.desk, plain_status),
        *state_routes(desk, plain_status, readiness=admin.readiness, workers=lambda: WORKERS),
        *describing_routes("1.2.3", OPERATIONS),
    ]
    async with (
        asyncio.timeout(30),
        serve_admin(admin, port=0, routes=routes) as admin.port,
        aiohttp.ClientSession(f"http://127.0.0.1:{admin.port}") as admin.session,
    ):
        yield admin

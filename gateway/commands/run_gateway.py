"""``lockgate gateway``: one gateway process, under ``lockgate serve`` or alone in a pod."""

from __future__ import annotations

import asyncio
import gc
import signal
import ssl
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvloop

from gateway.app import App, Plan
from gateway.auth.bootstrap import prepare_state
from gateway.config import Config
from gateway.core.errors import ConfigError
from workers.events import claim_stdout, emit

__all__ = ["read_plan", "run_gateway"]

_GC_THRESHOLDS = (10_000, 50, 100)
"""New objects before a young collection, and so on; Python's own 700 is reached several times a millisecond."""


def run_gateway(
    config: Config, plan: Plan, state_dir: Path, *, index: int, admin_socket: Path | None, admin_port: int | None
) -> int:
    """Serve until SIGTERM or SIGINT; tells its parent on standard output when it listens. Raises ``ConfigError``."""
    claim_stdout()
    try:
        files = prepare_state(state_dir, makes_certificate=config.settings.edge.tls.certificate is None)
        uvloop.run(_run(lambda: App(config, plan, files, admin_socket=admin_socket, admin_port=admin_port), index))
    except (ConfigError, OSError) as error:
        refusal = error if isinstance(error, ConfigError) else _as_config_error(error)
        emit("failed", error=str(refusal))
        raise refusal from error
    return 0


async def _run(make_app: Callable[[], App], index: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def on_started() -> None:
        # What is there now stays: without a look at it in every collection, and with fewer of them, a request costs
        # about a tenth less. What a request leaves behind is freed by reference counting.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        emit("ready", gateway=index)

    await make_app().run(stop, on_started)


def _as_config_error(error: OSError) -> ConfigError:
    if isinstance(error, ssl.SSLError):
        return ConfigError("server.pem", f"expected a certificate and its key: {error.reason}")
    return ConfigError("gateway", f"cannot listen: {error.strerror or error}")


def read_plan(path: Path) -> Plan:
    """The addresses of the workers: JSON, endpoint → deployment → list. Raises ``ConfigError``."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, list[str]]])
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(str(path), f"expected a plan file: {error}") from error

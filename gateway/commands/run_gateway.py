"""``lockgate gateway``: one gateway process, under ``lockgate serve`` or alone in a pod."""

from __future__ import annotations

import asyncio
import gc
import signal
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvloop

from gateway.app import App
from gateway.auth.bootstrap import prepare_state
from gateway.commands.planned_folder import PlannedFolder
from gateway.commands.serve_options import ServeOptions
from gateway.config import Config, load_settings, settings_of
from gateway.control.served import Served, ServedFile
from gateway.core.errors import ConfigError
from gateway.serving.reload import Followed, config_of
from gateway.telemetry.logs import configure_logs
from workers.events import claim_stdout, emit

__all__ = ["GatewayOptions", "run_gateway"]

_GC_THRESHOLDS = (10_000, 50, 100)
"""New objects before a young collection, and so on; Python's own 700 is reached several times a millisecond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """Exactly one of ``served`` and ``plan`` says where the workers are."""

    serve: ServeOptions
    """The folder, and what is set otherwise than there."""
    served: Path | None = None
    """A file that a supervisor writes: what is served, by which settings, and where the workers are."""
    plan: Path | None = None
    """A file with the workers' addresses alone: what is served is the folder."""
    index: int = 0
    admin_socket: Path | None = None
    control: str | None = None
    """Address of the supervisor's admin API; None where there is no supervisor."""


def run_gateway(options: GatewayOptions) -> int:
    """Serve until SIGTERM or SIGINT; tells its parent on standard output when it listens. Raises ``ConfigError``."""
    claim_stdout()
    try:
        followed, served = _start(options)
        root = options.serve.path.resolve()
        # A folder that is being edited must not keep a gateway from starting again: its supervisor knows better.
        settings = settings_of(served.settings) if served.settings is not None else load_settings(root)
        config = config_of(served, options.serve.apply(Config(root=root, settings=settings, endpoints={})))
        settings = config.settings
        configure_logs(settings.log_level)
        files = prepare_state(options.serve.state_dir, makes_certificate=settings.edge.tls.certificate is None)
        socket = options.admin_socket
        port = None if socket is not None else settings.admin_port
        uvloop.run(
            _run(
                lambda: App(
                    config,
                    served,
                    files,
                    followed,
                    admin_socket=socket,
                    admin_port=port,
                    control=options.control,
                ),
                options.index,
            )
        )
    except (ConfigError, OSError) as error:
        refusal = error if isinstance(error, ConfigError) else _as_config_error(error)
        emit("failed", error=str(refusal))
        raise refusal from error
    return 0


def _start(options: GatewayOptions) -> tuple[Followed, Served]:
    if options.served is not None:
        file = ServedFile(options.served)
        return file, file.read()
    if options.plan is None:
        raise ConfigError("--plan", "expected a file with the addresses of the workers")
    folder = PlannedFolder(options.serve.path, options.plan)
    return folder, folder.read()


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

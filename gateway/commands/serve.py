"""
``lockgate serve``: everything on one machine, from an empty directory to endpoints that answer.

Nothing is started before the configuration, the ports and the state directory are known to be good. Then workers and
gateways start together, the models load in view of whoever is watching, and the commands to try are printed. The first
SIGTERM or SIGINT drains; the second does not wait.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from gateway.auth.bootstrap import StateFiles, prepare_state
from gateway.commands.banner import shown_path
from gateway.commands.child_logs import ChildLogs, child_logs
from gateway.commands.first_version import first_version
from gateway.commands.leaving import run
from gateway.commands.machine import fits
from gateway.commands.ports import refuse_taken_ports
from gateway.commands.serve_options import ServeOptions
from gateway.commands.supervising import Supervising
from gateway.config import Config, Settings, compose, load, load_settings, read_files
from gateway.control.converted import Converted
from gateway.control.document import Document
from gateway.control.model_files import FilesMissing, ModelFiles
from gateway.control.open_source import open_ran, open_source
from gateway.control.pace import Pace
from gateway.control.served_folder import ServedFolder
from gateway.control.source import SourceUnavailable
from gateway.control.yaml_file import KnownYaml
from gateway.core.errors import ConfigError
from gateway.telemetry.logs import configure_logs

__all__ = ["ServeOptions", "serve"]


def serve(options: ServeOptions, console: Console) -> int:
    """Serve until signalled; returns the exit code. Raises ``ConfigError`` before anything is started."""
    root = Path(os.path.abspath(options.path))  # noqa: PTH100  # with links as they are: they may be swapped
    settings = options.settings(load_settings(root))
    if settings.control.source == "folder":
        _refuse_mistakes(root, settings, options.state_dir)
    configure_logs(settings.log_level)
    edge = settings.edge
    files = prepare_state(options.state_dir, makes_certificate=edge.tls.certificate is None)
    with _locked(files), _socket_folder(files) as sockets:
        refuse_taken_ports(
            {
                "--port": (edge.host, edge.http_port),
                "--grpc-port": (edge.host, edge.grpc_port),
                "--admin-port": ("127.0.0.1", settings.admin_port),
                "edge.plaintext_port": (edge.host, edge.plaintext_port or 0),
            }
        )
        with child_logs(console, settings.log_level) as logs:
            return run(_serve(root, settings, files, sockets, console=console, logs=logs))


def _refuse_mistakes(root: Path, settings: Settings, state_dir: Path) -> None:
    """With errors that name the file and the line; a model may be missing where what ran before could be served."""
    try:
        load(root)
    except FilesMissing:
        if not open_ran(settings.control, root, state_dir).refused:
            raise


async def _serve(
    root: Path, settings: Settings, files: StateFiles, sockets: Path, *, console: Console, logs: ChildLogs | None
) -> int:
    pace = Pace()
    models, known, converted = ModelFiles(pause=pace.step), KnownYaml(pause=pace.step), Converted()

    def check(document: Document) -> object:
        return compose(document, root, settings, models, converted)

    def read(path: Path) -> ServedFolder:
        return read_files(path, known.open)

    async def composed(document: Document) -> Config:
        return await asyncio.to_thread(compose, document, root, settings, models)

    ran = open_ran(settings.control, root, files.root)
    source = open_source(settings.control, root, files.root, read_files=read, check=check, models=models)
    try:
        document = await source.read()
        try:
            document, config = await first_version(source, document, ran, composed)
        except OSError as error:  # of a disk, or a path that may not be looked at
            raise ConfigError(error.filename or "a file", f"cannot be read: {error.strerror}") from error
        pace.begin()
        # What is there now stays. To walk all of it takes 20 ms, on a core where a worker may be waiting.
        gc.collect()
        gc.freeze()
        return await Supervising(
            source, document, config, models, ran=ran, files=files, sockets=sockets, console=console, logs=logs
        ).run()
    except SourceUnavailable as error:
        raise ConfigError("control", str(error)) from error
    finally:
        await source.close()


@contextmanager
def _locked(files: StateFiles) -> Iterator[None]:
    """Two servers in one state directory would take each other's sockets."""
    descriptor = os.open(files.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            where = shown_path(files.root)
            raise ConfigError(where, "another lockgate serves from this state directory; use --state-dir") from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _socket_folder(files: StateFiles) -> Iterator[Path]:
    """The state directory's own folder, or a temporary one where its path is too long for a socket."""
    if fits(files.run):
        for left_over in files.run.glob("*.sock"):
            left_over.unlink(missing_ok=True)
        yield files.run
        return
    folder = Path(tempfile.mkdtemp(prefix="lockgate-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

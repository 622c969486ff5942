from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from gateway.commands.groups import Sockets
from gateway.commands.machine import admin_sockets, fits, gateway_specs, group_options, group_spec
from gateway.commands.worker import link_files, worker_spec
from gateway.config import Settings
from gateway.control.endpoints import DeploymentConfig
from gateway.core.errors import ConfigError
from workers.affinity import Available
from workers.options import GroupOptions, WorkerOptions
from workers.tls import LinkFiles


def test_what_a_deployment_sets_reaches_its_workers() -> None:
    deployment = DeploymentConfig(model=Path("/m.onnx"), max_rows=8, threads=2, memory_limit_mb=500, device="cpu")
    workers = [WorkerOptions(name="p/blue/0", address="unix:/s", cores=[3, 1])]
    spec = group_spec("p/blue", group_options(deployment, workers, drain_ms=1))
    told = msgspec.json.decode(spec.argv[spec.argv.index("--options") + 1], type=GroupOptions)

    assert (told.model, told.max_rows, told.threads, told.memory_limit_mb) == ("/m.onnx", 8, 2, 500)
    assert told.workers == workers
    assert (spec.cores, spec.parts, spec.is_gentle) == ((1, 3), ("p/blue/0",), False)


def test_a_group_that_loads_gently_is_otherwise_the_same() -> None:
    options = group_options(DeploymentConfig(model=Path("/m.onnx")), [], drain_ms=1)
    gentle = group_spec("p/blue", options, is_gentle=True)

    assert gentle.is_gentle
    assert replace(gentle, is_gentle=False) == group_spec("p/blue", options)


def test_every_gateway_has_an_index_a_core_and_an_admin_socket_of_its_own() -> None:
    sockets = admin_sockets(2, Path("/run"))
    specs = gateway_specs(
        Settings(gateways=2), Available(cores=(0, 1, 2), count=3), sockets, ["/served"], {"REDIS_URL": "unix:///s"}
    )
    told = [spec.argv[spec.argv.index("--index") + 1 :] for spec in specs]

    assert [(arguments[0], arguments[2]) for arguments in told] == [
        ("0", "/run/admin-0.sock"),
        ("1", "/run/admin-1.sock"),
    ]
    assert [spec.cores for spec in specs] == [(0,), (1,)]
    assert all(spec.env["REDIS_URL"] == "unix:///s" for spec in specs)


def test_the_names_of_sockets_are_no_longer_than_what_was_tried() -> None:
    sockets = Sockets(Path("/x" * 40), "ffff")
    for _ in range(20_000):
        sockets.take(0)
    longest = sockets.take(200)[-1]

    assert fits(longest.parent)
    assert len(str(longest)) <= len(str(longest.parent / "ffff-99999-999.sock"))


def test_a_path_that_is_too_long_for_a_socket_is_noticed() -> None:
    assert fits(Path("/run/lockgate"))
    assert not fits(Path("/" + "x" * 100))


def test_a_pod_of_workers_uses_all_cores(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").touch()
    addresses = ["0.0.0.0:9000", "0.0.0.0:9001"]
    available = Available(cores=(0, 1), count=2)
    spec = worker_spec(tmp_path / "m.onnx", addresses, "w", {}, drain_ms=1, available=available, is_insecure=True)
    told = msgspec.json.decode(spec.argv[-1], type=GroupOptions)

    assert [(worker.address, worker.cores) for worker in told.workers] == [("0.0.0.0:9000", [0]), ("0.0.0.0:9001", [1])]


@pytest.mark.parametrize("address", ["nowhere", "host:", ":80", "host:port", "unix:relative", "host:70000"])
def test_an_address_that_cannot_be_listened_on_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="--address"):
        worker_spec(tmp_path, [address], "w", {}, drain_ms=1, available=Available(cores=(0,), count=1))


REMOTE = ["0.0.0.0:9000", "worker.test:9000"]


@pytest.mark.parametrize("address", REMOTE)
def test_a_worker_does_not_listen_beyond_its_machine_without_tls(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="expected --tls-ca"):
        worker_spec(tmp_path, [address], "w", {}, drain_ms=1, available=Available(cores=(0,), count=1))


def test_a_worker_does_so_when_it_is_told_in_words(tmp_path: Path) -> None:
    one = Available(cores=(0,), count=1)

    assert worker_spec(tmp_path, REMOTE[:1], "w", {}, drain_ms=1, available=one, is_insecure=True).argv


def test_the_files_of_a_worker_are_looked_at_before_it_is_started(tmp_path: Path) -> None:
    tls = LinkFiles(tmp_path / "ca.pem", tmp_path / "own.pem", tmp_path / "own.key")

    with pytest.raises(ConfigError, match=r"--tls-certificate: .*expected a file in PEM format"):
        worker_spec(tmp_path, REMOTE[:1], "w", {}, drain_ms=1, available=Available(cores=(0,), count=1), tls=tls)


def test_the_options_of_tls_come_together_or_not_at_all(tmp_path: Path) -> None:
    assert link_files(None, None, None) is None
    with pytest.raises(ConfigError, match="together"):
        link_files(tmp_path / "ca.pem", None, None)

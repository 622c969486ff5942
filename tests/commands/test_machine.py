from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway.commands.machine import Machine, fits
from gateway.commands.worker import link_files, worker_spec
from gateway.config import Config, Settings
from gateway.control.endpoints import DeploymentConfig, EndpointConfig
from gateway.core.errors import ConfigError
from workers.affinity import Available
from workers.options import GroupOptions
from workers.tls import LinkFiles

MODEL = Path("/models/one.onnx")


def config(gateways: int = 1, **deployments: DeploymentConfig) -> Config:
    traffic = {name: 100 if place == 0 else 0 for place, name in enumerate(deployments)}
    endpoint = EndpointConfig(name="price", deployments=deployments, traffic=traffic)
    return Config(root=Path("/served"), settings=Settings(gateways=gateways), endpoints={"price": endpoint})


def plan(cores: int, of: Config) -> Machine:
    return Machine.plan(of, Available(cores=tuple(range(cores)), count=cores), Path("/run/sock"), ["/served"])


def options(machine: Machine, place: int = 0) -> GroupOptions:
    argv = machine.groups[place].argv
    return msgspec.json.decode(argv[argv.index("--options") + 1], type=GroupOptions)


def test_gateways_are_told_exactly_the_addresses_that_workers_listen_on() -> None:
    machine = plan(4, config(blue=DeploymentConfig(model=MODEL), green=DeploymentConfig(model=MODEL)))
    listened = {
        machine.groups[i].name: [worker.address for worker in options(machine, i).workers]
        for i in range(len(machine.groups))
    }

    assert listened == {f"price/{name}": list(found) for name, found in machine.addresses["price"].items()}
    assert len({address for found in listened.values() for address in found}) == 3


def test_each_worker_is_told_its_own_core_and_the_gateway_keeps_the_first() -> None:
    machine = plan(3, config(blue=DeploymentConfig(model=MODEL)))

    assert [worker.cores for worker in options(machine).workers] == [[1], [2]]
    assert machine.gateways[0].cores == (0,)
    assert machine.groups[0].cores == (1, 2)


def test_what_a_deployment_sets_reaches_its_workers() -> None:
    deployment = DeploymentConfig(model=MODEL, max_rows=8, threads=2, memory_limit_mb=500, device="cpu")
    told = options(plan(4, config(blue=deployment)))

    assert (told.model, told.max_rows, told.threads, told.memory_limit_mb) == (str(MODEL), 8, 2, 500)


def test_a_gpu_has_one_worker_unless_more_are_asked_for() -> None:
    of = config(
        blue=DeploymentConfig(model=MODEL, device="cuda:0"),
        green=DeploymentConfig(model=MODEL, device="cuda:1", workers=2),
    )
    machine = plan(16, of)

    assert [len(options(machine, i).workers) for i in range(2)] == [1, 2]


def test_every_gateway_has_an_index_and_an_admin_socket_of_its_own() -> None:
    machine = plan(4, config(2, blue=DeploymentConfig(model=MODEL)))
    told = [spec.argv[spec.argv.index("--index") + 1 :] for spec in machine.gateways]

    assert [(arguments[0], arguments[2]) for arguments in told] == [
        (index, str(path)) for index, path in machine.admin_sockets.items()
    ]
    assert len(set(machine.admin_sockets.values())) == 2


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

"""
The real commands with mutual TLS on both sides: callers to gateways, and gateways to a worker on TCP.

One worker serves two gateways: one on the usual engines, where callers may show a certificate, and one on aiohttp and
grpcio, where they must.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import grpc
import pytest

from gateway.commands.certs import Kind, PairOptions, make_ca, make_pair
from gateway.wire.v1 import grpc_service_pb2 as pb
from gateway.wire.v1.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from tests.support.onnx_models import mlp
from tests.support.stack import LOCKGATE, PATIENCE, ROOT, Stack, run_lockgate, three_ports
from tests.support.tls_files import fingerprint_of

ROW = [1.0, 2.0, 3.0, 4.0]
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": ROW}]})
PATH = "/v2/models/net/infer"

BY_HTTP = {"ok": 200, "unknown": 401, "forbidden": 403}
BY_GRPC = {"ok": "OK", "unknown": "UNAUTHENTICATED", "forbidden": "PERMISSION_DENIED"}
Outcome = Literal["ok", "unknown", "forbidden"]
WIRES = ["http/1.1", "http/2", "grpc"]


@dataclass
class Site:
    """Everything that runs, and the certificates of everybody."""

    folder: Path
    worker_port: int
    open: Stack
    """Asks for certificates and does without; also in clear text on loopback."""
    plain_port: int
    strict: Stack
    """Insists on one."""

    def pair(self, name: str) -> tuple[Path, Path]:
        return self.folder / "public" / f"{name}.pem", self.folder / "public" / f"{name}.key"

    @property
    def ca(self) -> Path:
        return self.folder / "public" / "ca.pem"

    def ask(self, gateway: Stack, wire: str, client: str = "", *, key: str = "") -> Any:
        """The status; a text that says why there is none."""
        return self._grpc(gateway, client, key) if wire == "grpc" else self._http(gateway, wire, client, key)

    def _http(self, gateway: Stack, wire: str, client: str, key: str) -> Any:
        version = "--http2" if wire == "http/2" else "--http1.1"
        argv = [
            "curl",
            "-sS",
            version,
            "--cacert",
            str(self.ca),
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{http_version}",
        ]
        argv += ["-H", "content-type: application/json", "-d", BODY, f"{gateway.url}{PATH}"]
        if client:
            certificate, private = self.pair(client)
            argv += ["--cert", str(certificate), "--key", str(private)]
        if key:
            argv += ["-H", f"authorization: Bearer {key}"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False)
        if done.returncode:
            return done.stderr
        status, spoken = done.stdout.split()
        assert spoken == ("2" if wire == "http/2" else "1.1")
        return int(status)

    def _grpc(self, gateway: Stack, client: str, key: str) -> Any:
        certificate, private = (path.read_bytes() if client else None for path in self.pair(client or "nobody"))
        credentials = grpc.ssl_channel_credentials(self.ca.read_bytes(), private, certificate)
        request = pb.ModelInferRequest(model_name="net")
        request.inputs.add(name="x", datatype="FP32", shape=[1, 4]).contents.fp32_contents.extend(ROW)
        with grpc.secure_channel(gateway.grpc_target, credentials) as channel:
            stub = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
            try:
                stub.ModelInfer(request, timeout=PATIENCE, metadata=[("authorization", f"Bearer {key}")] if key else [])
            except grpc.RpcError as error:
                code: grpc.StatusCode = error.code()
                return code.name
        return "OK"

    def shown(self, port: int) -> str:
        """The fingerprint that a client sees."""
        context = ssl.create_default_context(cafile=str(self.ca))
        with (
            socket.create_connection(("localhost", port), PATIENCE) as connection,
            context.wrap_socket(connection, server_hostname="localhost") as tls,
        ):
            return fingerprint_of(tls.getpeercert(binary_form=True))


def settings(folder: Path, **edge: Any) -> dict[str, Any]:
    public, link = folder / "public", folder / "link"
    tls = {"certificate": str(public / "server.pem"), "key": str(public / "server.key")}
    return {
        "edge": {"host": "localhost", "tls": {**tls, "client_ca": str(public / "ca.pem"), **edge.pop("tls")}, **edge},
        "pool": {
            "tls": {
                "ca": str(link / "ca.pem"),
                "certificate": str(link / "gateway.pem"),
                "key": str(link / "gateway.key"),
                "server_name": "workers.test",
            }
        },
        "auth": {"certificates": [{"san": "spiffe://prod/*", "roles": ["score"], "endpoints": ["net"]}]},
    }


@contextmanager
def running(folder: Path, *argv: str) -> Iterator[Stack]:
    stack = Stack([LOCKGATE, *argv], folder / "state", three_ports(), ROOT)
    try:
        yield stack
    finally:
        stack.stop()


@contextmanager
def gateway(folder: Path, plan: Path, config: dict[str, Any]) -> Iterator[Stack]:
    (folder / "endpoints").mkdir(parents=True)
    document = {"name": "net", "deployments": {"blue": {"model": str(folder.parent / "model.onnx")}}}
    (folder / "endpoints" / "net.yaml").write_text(json.dumps(document))
    (folder / "lockgate.yaml").write_text(json.dumps(config))
    ports = three_ports()
    given = [f"--port={ports[0]}", f"--grpc-port={ports[1]}", f"--admin-port={ports[2]}"]
    argv = ["gateway", str(folder), "--plan", str(plan), "--state-dir", str(folder / "state"), *given]
    stack = Stack([LOCKGATE, *argv], folder / "state", ports, ROOT)
    try:
        yield stack
    finally:
        stack.stop()
    assert stack.complaints(expected=["Handshake failed"]) == []  # grpcio's, of those who were turned away


def issue(out: Path, kind: Kind, name: str, *alternatives: str) -> None:
    make_pair(PairOptions(kind=kind, out=out, name=name, alternatives=alternatives, is_forced=True), datetime.now(UTC))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("mutual")
    for authority in ("public", "link"):
        make_ca(folder / authority, authority, 30)
    issue(folder / "public", "server", "server")
    issue(folder / "public", "client", "bob", "spiffe://prod/bob")
    issue(folder / "public", "client", "eve", "spiffe://test/eve")
    issue(folder / "link", "worker", "worker", "workers.test")
    issue(folder / "link", "client", "gateway")
    mlp(folder / "model.onnx")
    worker_port, plain_port, _ = three_ports()
    plan = folder / "plan.json"
    plan.write_text(json.dumps({"net": {"blue": [f"127.0.0.1:{worker_port}"]}}))
    link = folder / "link"
    files = ["--tls-ca", link / "ca.pem", "--tls-certificate", link / "worker.pem", "--tls-key", link / "worker.key"]
    # 0.0.0.0: with certificates a worker may be reached by others.
    worker = ["worker", str(folder / "model.onnx"), "--address", f"0.0.0.0:{worker_port}", *map(str, files)]
    with ExitStack() as stack:
        stack.enter_context(running(folder / "worker", *worker))
        usual = settings(folder, tls={"client_auth": "optional"}, plaintext="loopback", plaintext_port=plain_port)
        others = settings(folder, tls={"client_auth": "required"}, http_engine="aiohttp", grpc_engine="grpcio")
        gateways = [
            stack.enter_context(gateway(folder / "open", plan, usual)),
            stack.enter_context(gateway(folder / "strict", plan, others)),
        ]
        for each in gateways:
            each.event("gateway.deployment_ready")
        yield Site(folder, worker_port, gateways[0], plain_port, gateways[1])


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("client", "outcome"), [("bob", "ok"), ("eve", "forbidden"), ("", "unknown")])
def test_a_certificate_stands_for_its_holder(site: Site, wire: str, client: str, outcome: Outcome) -> None:
    expected = BY_GRPC[outcome] if wire == "grpc" else BY_HTTP[outcome]

    assert site.ask(site.open, wire, client) == expected


@pytest.mark.parametrize("wire", ["http/1.1", "grpc"])
@pytest.mark.parametrize(("client", "outcome"), [("bob", "ok"), ("eve", "forbidden")])
def test_the_other_engines_know_it_too(site: Site, wire: str, client: str, outcome: Outcome) -> None:
    expected = BY_GRPC[outcome] if wire == "grpc" else BY_HTTP[outcome]

    assert site.ask(site.strict, wire, client) == expected


@pytest.mark.parametrize("wire", WIRES)
def test_where_it_is_optional_a_key_is_enough(site: Site, wire: str) -> None:
    expected = "OK" if wire == "grpc" else 200

    assert site.ask(site.open, wire, key=site.open.key) == expected


@pytest.mark.parametrize("wire", ["http/1.1", "grpc"])
def test_a_key_counts_more_than_a_certificate(site: Site, wire: str) -> None:
    expected = BY_GRPC["unknown"] if wire == "grpc" else BY_HTTP["unknown"]

    assert site.ask(site.open, wire, "bob", key="lg_wrong") == expected


def test_where_it_is_required_nobody_gets_in_without_one(site: Site) -> None:
    refused = site.ask(site.strict, "http/1.1", key=site.strict.key)

    assert refused.startswith(("curl: (52)", "curl: (56)")), "an alert, or a connection that is closed"
    assert site.ask(site.strict, "grpc", key=site.strict.key) == "UNAVAILABLE"


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_command_line_comes_with_a_certificate(site: Site, tmp_path: Path, protocol: str) -> None:
    port = site.strict.http_port if protocol == "http" else site.strict.grpc_port
    (tmp_path / "rows.json").write_text(json.dumps([{"x": ROW}]) if protocol == "grpc" else BODY)
    certificate, key = site.pair("bob")
    argv = ["invoke", "net", "--data", str(tmp_path / "rows.json"), "--protocol", protocol, "--port", str(port)]
    argv += ["--ca", str(site.ca), "--certificate", str(certificate), "--certificate-key", str(key)]
    done = run_lockgate(*argv)

    assert done.returncode == 0, done.stderr


# --- the link ------------------------------------------------------------------------------------------------------


def link_client(site: Site, pair: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(site.folder / "link" / "ca.pem"))
    context.set_alpn_protocols(["h2"])
    if pair is not None:
        context.load_cert_chain(pair, pair.with_suffix(".key"))
    return context


def first_word(site: Site, context: ssl.SSLContext) -> bytes:
    """What the worker answers to a client's preface; nothing when it hangs up, with an alert or without."""
    try:
        with (
            socket.create_connection(("127.0.0.1", site.worker_port), PATIENCE) as connection,
            context.wrap_socket(connection, server_hostname="workers.test") as tls,
        ):
            tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
            return tls.recv(9)
    except (ssl.SSLError, ConnectionError):
        return b""


def test_a_worker_talks_to_those_with_a_certificate_of_its_authority(site: Site) -> None:
    assert first_word(site, link_client(site, site.folder / "link" / "gateway.pem"))[3:4] == b"\x04"  # SETTINGS


@pytest.mark.parametrize("pair", [None, "public/bob.pem", "link/worker.pem"])
def test_a_worker_does_not_talk_to_strangers(site: Site, pair: str | None) -> None:
    assert first_word(site, link_client(site, site.folder / pair if pair else None)) == b""


def test_a_worker_does_not_talk_in_clear_text(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.worker_port), PATIENCE) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
        answer = connection.recv(9)

    assert answer[:1] in (b"", b"\x15")  # closed, or an alert of TLS


def test_a_gateway_sends_no_rows_to_another_machine_in_clear_text(tmp_path: Path, site: Site) -> None:
    (tmp_path / "plan.json").write_text(json.dumps({"model": {"blue": ["10.0.0.7:9000"]}}))
    argv = [str(site.folder / "model.onnx"), "--plan", str(tmp_path / "plan.json"), "--state-dir", str(tmp_path / "s")]
    done = run_lockgate("gateway", *argv)

    assert done.returncode == 2
    assert "pool.tls: expected certificates for 10.0.0.7:9000" in done.stderr


# --- clear text ----------------------------------------------------------------------------------------------------


def plain(site: Site, host: str) -> int:
    request = urllib.request.Request(
        f"http://{host}:{site.plain_port}{PATH}",
        BODY.encode(),
        {"content-type": "application/json", "authorization": f"Bearer {site.open.key}"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:  # noqa: S310
        status: int = response.status
        return status


def test_clear_text_that_was_asked_for_serves_this_machine_alone(site: Site) -> None:
    assert plain(site, "127.0.0.1") == 200
    with pytest.raises(OSError, match="refused"):
        plain(site, "127.0.0.2")


def test_clear_text_takes_grpc_too(site: Site) -> None:
    request = pb.ModelInferRequest(model_name="net")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4]).contents.fp32_contents.extend(ROW)
    with grpc.insecure_channel(f"127.0.0.1:{site.plain_port}") as channel:
        stub = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        answer = stub.ModelInfer(request, timeout=PATIENCE, metadata=[("authorization", f"Bearer {site.open.key}")])

    assert answer.outputs[0].shape == [1, 1]


def test_clear_text_is_not_spoken_where_tls_is(site: Site) -> None:
    with socket.create_connection(("localhost", site.open.http_port), PATIENCE) as connection:
        connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")

        assert not connection.recv(100).startswith(b"HTTP/")


# --- renewal -------------------------------------------------------------------------------------------------------


def test_a_running_gateway_takes_a_new_pair_and_refuses_a_bad_one(site: Site) -> None:
    server = site.folder / "public" / "server.pem"
    before = site.shown(site.open.http_port)
    marks = {each: each.mark() for each in (site.open, site.strict)}
    issue(site.folder / "public", "server", "server")
    told = [each.event("edge.certificate_reloaded", since) for each, since in marks.items()]
    new = told[0]["fingerprint"]
    shown = {site.shown(port) for port in (site.open.http_port, site.open.grpc_port)}
    good, since = server.read_bytes(), site.open.mark()
    server.write_text("nothing")
    refused = site.open.event("edge.certificate_refused", since)
    kept = site.shown(site.open.http_port)
    _, ready = site.open.ask_admin("/readyz")
    server.write_bytes(good)

    assert before != new
    assert [each["fingerprint"] for each in told] == [new, new]
    assert shown == {new}
    assert (refused["kept"], kept) == (new, new)
    assert json.loads(ready)["certificate"]["refused"] == refused["reason"]


def test_the_end_of_the_certificate_is_told(site: Site) -> None:
    _, ready = site.open.ask_admin("/readyz")
    told = json.loads(ready)["certificate"]

    assert 25 < told["days_left"] < 31
    assert 25 * 86400 < site.open.metric("lockgate_certificate_not_after_seconds") - time.time() < 31 * 86400


def test_a_link_that_is_made_anew_uses_new_certificates(site: Site) -> None:
    issue(site.folder / "link", "worker", "worker", "workers.test")
    context = link_client(site, site.folder / "link" / "gateway.pem")
    with (
        socket.create_connection(("127.0.0.1", site.worker_port), PATIENCE) as connection,
        context.wrap_socket(connection, server_hostname="workers.test") as tls,
    ):
        shown = tls.getpeercert(binary_form=True)

    assert shown == ssl.PEM_cert_to_DER_cert((site.folder / "link" / "worker.pem").read_text())


def test_nothing_that_was_written_holds_a_private_key(site: Site) -> None:
    bodies = [
        "".join(path.read_text().splitlines()[1:-1])
        for folder in ("public", "link")
        for path in (site.folder / folder).glob("*.key")
    ]
    written = site.open.output() + site.strict.output()
    arguments = "".join(str(process.argv) for each in (site.open, site.strict) for process in each.processes())

    assert bodies
    assert "PRIVATE KEY" not in written + arguments
    assert [body for body in bodies if body[:40] in written + arguments] == []

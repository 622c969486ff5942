"""
No credential leaves the process that it was shown to: not in logs, errors, metrics, files, arguments or crash output.

The real server is shown right, wrong, expired and mangled credentials over every wire and in every wrong place, and is
made to crash. Then everything that any of its processes wrote or shows to others is searched for all of them.
"""

from __future__ import annotations

import base64
import http.client
import json
import signal
import ssl
import urllib.parse
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.auth.api_key import new_key
from gateway.wire.v1 import grpc_service_pb2 as wire
from gateway.wire.v1.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from tests.support.doors import Doors
from tests.support.stack import PATIENCE, Stack, kill, run_lockgate, serving

MAY_HOLD_SECRETS = ("demo.key", "admin.key", "token-keys.json", "server.key", "robot.key")
BODY = {"input_data": {"x": [[0.1, 0.2, 0.3, 0.4]]}}


@dataclass(frozen=True)
class Evidence:
    """Everything that was written or can be seen, by where it was found; and all that must not be in it."""

    texts: Mapping[str, str]
    secrets: Mapping[str, str]

    def leaks(self, *places: str) -> list[tuple[str, str]]:
        """Which secret was found where. Half a secret is one too, and so is an encoded one."""
        return [
            (kind, where)
            for where, text in self.texts.items()
            if where.startswith(places)
            for kind, secret in self.secrets.items()
            if any(form in text for form in _forms(secret))
        ]


def _forms(secret: str) -> tuple[str, ...]:
    half = secret[-max(16, len(secret) // 2) :]
    return half, base64.b64encode(secret.encode()).decode()[8:40], urllib.parse.quote(secret, safe="")


class Abuse:
    """Shows credentials to a server in every way, right and wrong. Nothing here minds what is answered."""

    def __init__(self, stack: Stack, doors: Doors) -> None:
        self._stack, self._doors, self._turn = stack, doors, 0
        self._tls = ssl.create_default_context(cafile=str(stack.ca))
        channel = grpc.secure_channel(stack.grpc_target, grpc.ssl_channel_credentials(stack.ca.read_bytes()))
        self._stub: Any = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]

    def everywhere(self, secret: str) -> None:
        """
        In its place, in forms that are not right, and in places where it does not belong.

        Each time from another address, because the audit trail counts what too many refusals come from one.
        """
        self._turn += 1
        for header in (f"Bearer {secret}", secret, f"Basic {secret}", f"bearer  {secret} x", f"Bearer {secret}\xff"):
            self.rest("POST", "/api/v1/endpoint/a/score", BODY, {"Authorization": header})
            self.rest("GET", "/v2/models", None, {"Authorization": header})
            self.admin("GET", "/keys", None, header)
        quoted = urllib.parse.quote(secret, safe="")
        self.rest("GET", f"/v2/models/{quoted}", None, {"Authorization": f"Bearer {secret}"})
        self.rest("POST", f"/api/v1/endpoint/{quoted}/score?key={quoted}", BODY, {"lockgate-endpoint": secret})
        self.rest("POST", "/api/v1/endpoint/a/score", {"key": secret}, {"Authorization": f"Bearer {secret}"})
        self.rest("GET", "/nowhere", None, {"azureml-model-deployment": secret, "traceparent": secret})
        self.admin("POST", f"/endpoints/{quoted}/token", None, f"Bearer {secret}")
        self.admin("DELETE", f"/keys/{quoted}", None, f"Bearer {self._doors.credentials['admin key']}")
        self.admin("POST", "/keys", {"name": secret, secret: secret}, f"Bearer {self._doors.credentials['admin key']}")
        for value in (f"Bearer {secret}", secret):
            metadata = [("authorization", value), ("lockgate-endpoint", secret)]
            with suppress(grpc.RpcError):
                self._stub.ModelMetadata(wire.ModelMetadataRequest(name="a"), metadata=metadata, timeout=PATIENCE)
            request = wire.ModelInferRequest(model_name="t", model_version=secret, id=secret)
            request.inputs.add(name="x", datatype="FP32", shape=[1, 4]).contents.fp32_contents.extend([0.0] * 4)
            with suppress(grpc.RpcError):
                self._stub.ModelInfer(request, metadata=metadata, timeout=PATIENCE)

    def rest(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> None:
        connection = http.client.HTTPSConnection(
            "localhost", self._stack.http_port, timeout=PATIENCE, context=self._tls
        )
        self._send(connection, method, path, body, headers)

    def admin(self, method: str, path: str, body: Any, header: str) -> None:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._stack.admin_port, timeout=PATIENCE, source_address=self._address
        )
        self._send(connection, method, path, body, {"Authorization": header})

    def raw(self, data: bytes) -> None:
        """What no client would send."""
        connection = http.client.HTTPSConnection(
            "localhost", self._stack.http_port, timeout=PATIENCE, context=self._tls
        )
        connection.connect()
        with suppress(OSError):
            connection.sock.sendall(data)
            connection.sock.recv(65536)
        connection.close()

    @property
    def _address(self) -> tuple[str, int]:
        return f"127.0.1.{self._turn}", 0

    def _send(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: Any, headers: Mapping[str, str]
    ) -> None:
        try:
            connection.request(method, path, None if body is None else json.dumps(body), dict(headers))
            connection.getresponse().read()
        finally:
            connection.close()


def made_by_the_admin_api(stack: Stack, doors: Doors) -> dict[str, str]:
    """Secrets that the server itself has just made."""
    found = {}
    for kind, path, body, field in (
        ("regenerated key", "/endpoints/b/regenerateKeys", {"keyType": "Primary"}, "primaryKey"),
        ("created key", "/keys", {"name": "made-here"}, "key"),
        ("issued token", "/endpoints/t/token", None, "accessToken"),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", stack.admin_port, timeout=PATIENCE)
        headers = {"Authorization": f"Bearer {doors.credentials['admin key']}"}
        connection.request("POST", path, None if body is None else json.dumps(body), headers)
        found[kind] = json.loads(connection.getresponse().read())[field]
        connection.close()
    return found


def crash(stack: Stack, abuse: Abuse, secret: str) -> None:
    """A worker and a gateway die, each as loudly as a process can, with a credential on their hands."""
    since = stack.mark()
    kill(stack.workers("a/blue")[0], signal.SIGSEGV)
    stack.reconnected("a/blue", since)
    abuse.everywhere(secret)
    since = stack.mark()
    kill(stack.gateways()[0], signal.SIGABRT)
    stack.event("gateway.deployment_ready", since, endpoint="a")
    stack.event("gateway.deployment_ready", since, endpoint="t")


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    doors = Doors(tmp_path_factory.mktemp("secrets"), settings={"log_level": "debug"})
    secrets = dict(doors.credentials)
    texts: dict[str, str] = {}
    with serving(doors.root, doors.folder, expected=None) as stack:
        abuse = Abuse(stack, doors)
        secrets |= made_by_the_admin_api(stack, doors)
        for secret in secrets.values():
            abuse.everywhere(secret)
        mangled = {f"mangled {i}": new_key() for i in range(4)}
        heads = (
            "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer {}\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\x00\r\n\r\n",
            "GET /{} HTTP/9.9\r\n\r\n",
        )
        for head, secret in zip(heads, mangled.values(), strict=True):
            abuse.raw(head.format(secret).encode())
        secrets |= mangled
        crash(stack, abuse, secrets["key of all"])
        for process in stack.processes():
            texts[f"arguments {process.pid}"] = "\n".join(process.argv)
            with suppress(OSError):
                texts[f"environment {process.pid}"] = Path(f"/proc/{process.pid}/environ").read_text(errors="replace")
        texts["metrics"] = stack.ask_admin("/metrics")[1]
        texts["readiness"] = stack.ask_admin("/readyz")[1]
        texts["command invoke"] = invoked(stack, doors, secrets["wrong key"])
    texts["output"] = stack.output()
    for file in doors.folder.rglob("*"):
        if file.is_file() and file.name not in MAY_HOLD_SECRETS:
            texts[f"file {file.relative_to(doors.folder)}"] = file.read_bytes().decode("utf-8", "replace")
    private = [file.read_text() for name in MAY_HOLD_SECRETS if (file := doors.files.root / name).exists()]
    lines = [line for text in private for line in text.replace("\\n", "\n").splitlines() if len(line) >= 40]
    secrets |= {f"private key {i}": line.strip() for i, line in enumerate(lines) if not line.startswith("-")}
    return Evidence(texts, secrets)


def invoked(stack: Stack, doors: Doors, secret: str) -> str:
    """What the command line says when the key is wrong."""
    file = doors.folder / "robot.key"
    file.write_text(secret)
    arguments = ["--example", "--port", str(stack.http_port), "--ca", str(stack.ca), "--key-file", str(file)]
    done = run_lockgate("invoke", "a", *arguments)
    assert done.returncode == 1
    return done.stdout + done.stderr


def test_the_search_would_find_a_secret(evidence: Evidence) -> None:
    planted = Evidence({**evidence.texts, "output": evidence.secrets["key of all"]}, evidence.secrets)

    assert ("key of all", "output") in planted.leaks("output")


def test_there_was_something_to_search(evidence: Evidence) -> None:
    kinds = {where.split()[0] for where in evidence.texts}

    assert kinds == {"arguments", "environment", "metrics", "readiness", "command", "output", "file"}
    for word in ("audit.refused", "audit.key_created", "audit.token_issued", "made-here", "SIGABRT"):
        assert word in evidence.texts["output"], word
    assert evidence.texts["output"].count("audit.refused") > 50
    assert "of-a" in evidence.texts["file state/keys.json"]
    assert len(evidence.secrets) > 20


@pytest.mark.parametrize("place", ["output", "file", "arguments", "environment", "metrics", "readiness", "command"])
def test_no_credential_is_in(evidence: Evidence, place: str) -> None:
    assert evidence.leaks(place) == []


def test_nothing_had_to_be_blanked_out(evidence: Evidence) -> None:
    """Where the last line of defence was needed, somebody handed a credential to the log."""
    assert "[redacted]" not in evidence.texts["output"]


def test_the_server_never_crashed_over_a_header(evidence: Evidence) -> None:
    assert "edge.handler_crashed" not in evidence.texts["output"]
    assert "Traceback" not in evidence.texts["output"]


def test_files_with_secrets_are_their_owners_alone(
    evidence: Evidence, tmp_path_factory: pytest.TempPathFactory
) -> None:
    open_to_others = [
        file.name
        for folder in tmp_path_factory.getbasetemp().glob("secrets*/state")
        for file in folder.iterdir()
        if file.name in (*MAY_HOLD_SECRETS, "keys.json", "key-uses.json") and file.stat().st_mode & 0o077
    ]

    assert open_to_others == []

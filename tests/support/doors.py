"""
A served folder whose endpoints take different proofs, and one credential of every kind for them.

``a`` and ``b`` take keys, ``t`` takes tokens. The state directory is prepared before the server starts, as an operator
would: with the same code, but with a clock that lets some credentials be over already.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.auth.api_key import ApiKey, Slot, new_key
from gateway.auth.bootstrap import StateFiles, prepare_state
from gateway.auth.key_book import KeyBook
from gateway.auth.key_uses import KeyUses
from gateway.auth.token import issue_token
from gateway.auth.token_keys import signing_key
from gateway.core.access import Role
from tests.support.onnx_models import mlp

__all__ = ["ROBOT", "Doors"]

ROBOT = "robot.test"
"""A client certificate with this name may score ``a``."""


@dataclass
class Doors:
    """``folder/served`` is to be served with ``folder/state``; ``credentials`` by kind."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    with_certificates: bool = True
    credentials: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = self.folder / "served"
        self.files: StateFiles = prepare_state(self.folder / "state")
        (self.root / "endpoints").mkdir(parents=True)
        self._serve("a", "key")
        self._serve("b", "key")
        self._serve("t", "token")
        # Failures are what is asked for here, so nobody is slowed down for them; and 403 shall be told from 401.
        settings: dict[str, Any] = {"limits": {"login_failures": 0}, "edge": {"personality": "kubernetes"}}
        settings["edge"] |= self.settings.get("edge", {})
        settings |= {name: value for name, value in self.settings.items() if name != "edge"}
        self._ca = trustme.CA()
        if self.with_certificates:
            authority = self.folder / "clients.pem"
            authority.write_bytes(self._ca.cert_pem.bytes())
            settings["edge"]["tls"] = {"client_ca": str(authority), "client_auth": "optional"}
            settings["auth"] = {"certificates": [{"san": ROBOT, "roles": ["score"], "endpoints": ["a"]}]}
        (self.root / "lockgate.yaml").write_text(json.dumps(settings), encoding="utf-8")
        self._make_credentials()

    @property
    def certificate(self) -> tuple[Path, Path]:
        """Chain and private key of the robot, in files."""
        leaf = self._ca.issue_cert(ROBOT)
        chain, key = self.folder / "robot.pem", self.folder / "robot.key"
        chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        key.write_bytes(leaf.private_key_pem.bytes())
        return chain, key

    def book(self, ago: float = 0.0) -> KeyBook:
        """The keys, with a clock that many seconds behind."""
        return KeyBook(self.files.keys, KeyUses(self.files.key_uses), clock=lambda: time.time() - ago)

    def key(
        self, name: str, role: Role = Role.SCORE, *endpoints: str, ago: float = 0, lifetime: int | None = None
    ) -> str:
        return self.book(ago).create(name, [role], endpoints or None, lifetime, _anything).secret

    def regenerate(self, endpoint: str, slot: Slot) -> str:
        return self.book().regenerate(endpoint, slot, _anything).secret

    def token(self, endpoint: str, *, ago: float = 0, lifetime: int = 3600) -> str:
        now = time.time() - ago
        key = signing_key(self.files.token_keys, now)
        return issue_token(key, endpoint, "job", now=now, lifetime=lifetime).accessToken

    def _make_credentials(self) -> None:
        stranger = ec.generate_private_key(ec.SECP256R1())
        kid = signing_key(self.files.token_keys, time.time()).kid
        claims = {"iss": "lockgate", "aud": "t", "sub": "x", "iat": int(time.time()), "exp": int(time.time()) + 600}
        self.credentials |= {
            "wrong key": new_key(),
            "key of all": self.files.demo_key.read_text(encoding="ascii").strip(),
            "key of a": self.key("of-a", Role.SCORE, "a"),
            "key of b": self.key("of-b", Role.SCORE, "b"),
            "primary of a": self.regenerate("a", "primary"),
            "secondary of a": self.regenerate("a", "secondary"),
            "expired key": self.key("over", ago=60, lifetime=30),
            "reading key": self.key("reader", Role.READ),
            "keys of a": self.key("keys-of-a", Role.KEYS, "a"),
            "admin key": self.files.admin_key.read_text(encoding="ascii").strip(),
            "token of t": self.token("t"),
            "token of a": self.token("a"),
            "expired token": self.token("t", ago=7200),
            "forged token": jwt.encode(claims, stranger, "ES256", headers={"kid": kid}),
        }

    def _serve(self, name: str, mode: str) -> None:
        model = self.folder / "models" / name
        model.mkdir(parents=True)
        mlp(model / "model.onnx")
        endpoint = {"name": name, "auth_mode": mode, "deployments": {"blue": {"model": str(model), "workers": 1}}}
        # JSON is YAML.
        (self.root / "endpoints" / f"{name}.yaml").write_text(json.dumps(endpoint), encoding="utf-8")


def _anything(_: ApiKey) -> None:
    """The owner of the state directory may do anything."""

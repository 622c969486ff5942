"""What ``lockgate check`` finds wrong before it loads a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gateway.commands.check import check
from gateway.core.errors import ConfigError


def served(folder: Path, **settings: Any) -> Path:
    (folder / "endpoints").mkdir()
    (folder / "model.onnx").touch()
    endpoint = {"name": "net", "deployments": {"blue": {"model": "../model.onnx"}}}
    (folder / "endpoints" / "net.yaml").write_text(json.dumps(endpoint))
    (folder / "lockgate.yaml").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"edge": {"tls": {"certificate": "a.pem", "key": "a.key"}}}, r"a\.pem"),
        ({"pool": {"tls": {"ca": "ca.pem", "certificate": "b.pem", "key": "b.key"}}}, r"pool\.tls: .*ca\.pem"),
    ],
)
def test_a_certificate_that_is_missing_is_named(tmp_path: Path, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        check(served(tmp_path, **settings), 1, Console())

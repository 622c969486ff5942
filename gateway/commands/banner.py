"""What is printed when everything serves: the endpoints, and commands to paste that really work. Pure."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.auth.bootstrap import StateFiles
from gateway.config import Config

__all__ = ["banner", "shown_path"]

_ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104  # compared with, not bound to
_VALUE = 40
"""Characters of one example value that are worth showing."""
_TEXT = 400
"""Characters of an example that is a whole request, which cannot be cut, that are worth showing."""


def banner(config: Config, files: StateFiles, readiness: Mapping[str, Any], examples: Mapping[str, Any]) -> list[str]:
    """Lines; ``readiness`` and ``examples`` as the fleet tells them."""
    edge = config.settings.edge
    host = "localhost" if edge.host in _ANYWHERE else edge.host
    url = f"https://{f'[{host}]' if ':' in host else host}:{edge.http_port}"
    lines = ["", "Endpoints"]
    for endpoint in config.endpoints.values():
        lines.append(f"  {endpoint.name}" + (f"  {endpoint.description}" if endpoint.description else ""))
        for name in endpoint.deployments:
            state = readiness.get("endpoints", {}).get(endpoint.name, {}).get(name, {})
            told = "ready" if state.get("ready") else f"NOT READY: {state.get('reason') or 'no worker has loaded it'}"
            lines.append(f"    {name}  {endpoint.weight(name)} %  {told}")
    plain = [f"HTTP   port {edge.plaintext_port}, in clear text, {edge.plaintext}"] if edge.plaintext != "none" else []
    lines += [
        "",
        f"HTTPS  {url}",
        f"gRPC   {host}:{edge.grpc_port} (TLS)",
        *plain,
        f"admin  http://127.0.0.1:{config.settings.admin_port}/readyz",
    ]
    for name in config.endpoints:
        lines += ["", f"Try {name}", *_commands(name, config, files, url, examples.get(name))]
    return [*lines, ""]


def shown_path(path: Path) -> str:
    """Relative to where the user is, when that is shorter."""
    relative = os.path.relpath(path)
    return shlex.quote(relative if len(relative) < len(str(path)) else str(path))


def _commands(endpoint: str, config: Config, files: StateFiles, url: str, example: Any) -> Iterator[str]:
    ca = shown_path(files.ca)
    edge = config.settings.edge
    tool = _own_command()
    state = "" if files.root == Path(".lockgate").resolve() else f" --state-dir {shown_path(files.root)}"
    shown, key_file = f"$(cat {shown_path(files.demo_key)})", ""
    match config.endpoints[endpoint].auth_mode:
        case "token":
            issue = f"{tool} token {endpoint} --plain{state}"
            shown, key_file = f"$({issue})", f" --key-file <({issue})"
        case "aad_token":
            yield "  # with a token of your identity provider in TOKEN"
            shown, key_file = "$TOKEN", ' --key-file <(echo "$TOKEN")'
    trust = f"--cacert {ca} " if edge.tls.certificate is None else ""
    if not trust:
        yield "  # with --ca FILE (curl: --cacert FILE), unless this machine trusts the certificate's CA"
    curl = [
        f'  curl {trust}-H "Authorization: Bearer {shown}" \\',
        "    -H 'Content-Type: application/json' \\",
        f"    {url}/api/v1/endpoint/{endpoint}/score \\",
    ]
    is_text, text = "text" in (example or {}), (example or {}).get("text")
    if is_text:
        if text is not None and len(text) <= _TEXT:
            yield from [*curl, f"    --data-raw {shlex.quote(text)}"]
    elif whole := (example or {}).get("whole", example):
        body = {"input_data": {"columns": whole["columns"], "index": [0], "data": [[*map(_short, whole["row"])]]}}
        yield from [*curl, f"    -d {shlex.quote(json.dumps(body))}"]
    if example and "whole" in example:
        keys = dict(zip(example["columns"], map(_short, example["row"]), strict=True))
        yield from ["  # the rest of the row from the feature store:", *curl]
        yield f"    -d {shlex.quote(json.dumps({'input_data': [keys]}))}"
    http_port = "" if edge.http_port == type(edge)().http_port else f" --port {edge.http_port}"
    grpc_port = "" if edge.grpc_port == type(edge)().grpc_port else f" --port {edge.grpc_port}"
    sample = _sample(config.root, endpoint)
    if is_text and text is None and sample is None:
        yield "  # its script alone knows what a request looks like; signature.json can give an example"
        return
    data = f" --data {shown_path(sample)}" if sample else " --example"
    yield f"  {tool} invoke {endpoint}{data}{state}{http_port}{key_file}"
    if sample:
        yield f"  {tool} invoke {endpoint}{data}{state}{grpc_port} --protocol grpc{key_file}"


def _own_command() -> str:
    """``lockgate``, as it can be called from where the reader stands."""
    return "lockgate" if shutil.which("lockgate") else shown_path(Path(sys.executable).with_name("lockgate"))


def _sample(root: Path, endpoint: str) -> Path | None:
    """The rows that a served folder brings for an endpoint: ``requests/<endpoint>.json`` or ``.csv``."""
    paths = (root / "requests" / f"{endpoint}{suffix}" for suffix in (".json", ".csv"))
    return next((path for path in paths if path.is_file()), None)


def _short(value: Any) -> Any:
    return value[:_VALUE] if isinstance(value, str) else value

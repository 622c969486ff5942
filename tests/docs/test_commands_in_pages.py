"""The commands in README and docs, and the Python in them, work as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stack import ROOT, Stack

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "examples" / "README.md")
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(language, text, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, (language, text) in enumerate(BLOCK.findall(page.read_text()))
    if any(word in text for word in (".lockgate/", "lockgate invoke", "lockgate status"))
]


@pytest.mark.parametrize(("language", "text"), BLOCKS)
def test_a_block_runs_as_it_stands(language: str, text: str, examples: Stack, tmp_path: Path) -> None:
    """Only what a reader would have too is put in place: the state directory, and this server's ports."""
    (tmp_path / ".lockgate").symlink_to(examples.state)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    text = text.replace("localhost:8443", f"localhost:{examples.http_port}")
    text = text.replace("localhost:8444", f"localhost:{examples.grpc_port}")
    text = text.replace("127.0.0.1:8445", f"127.0.0.1:{examples.admin_port}")
    if "lockgate invoke" in text:
        port = examples.grpc_port if "--protocol grpc" in text else examples.http_port
        text = re.sub(
            r"\S*lockgate invoke (\S+)", rf"{Path(sys.executable).parent}/lockgate invoke \1 --port {port}", text
        )
    text = re.sub(
        r"\S*lockgate status", f"{Path(sys.executable).parent}/lockgate status --admin-port {examples.admin_port}", text
    )
    argv = [sys.executable, "-c", text] if language == "python" else ["bash", "-euo", "pipefail", "-c", text]
    if language == "sh":
        argv[-1] = text.replace("curl ", "curl --silent --show-error --fail-with-body ")
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.strip()


def test_the_readme_shows_a_first_request_in_each_protocol() -> None:
    text = "\n".join(str(block.values[1]) for block in BLOCKS if str(block.id).startswith("README"))

    for part in ("/score", "/v2/models", "/invocations", "/predict", "--protocol grpc", "tritonclient.grpc"):
        assert part in text, part

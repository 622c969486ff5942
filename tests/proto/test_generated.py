"""Generated gRPC modules are what the committed proto files give."""

from __future__ import annotations

from pathlib import Path

from tools.generate_proto import ROOT, generate


def test_generated_modules_are_current(tmp_path: Path) -> None:
    generate(tmp_path)
    fresh = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*_pb2*")}

    assert len(fresh) >= 3
    for path, text in fresh.items():
        assert (ROOT / path).read_text() == text, path

"""Our definition of the protocol has the names and numbers of tritonclient's, so that the two can talk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.wire.v1 import grpc_service_pb2, model_config_pb2
from tests.support.proto_facts import facts

PROGRAM = """
import json, sys
from tritonclient.grpc import model_config_pb2, service_pb2
from proto_facts import facts
json.dump(facts(service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR), sys.stdout)
"""
SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture(scope="module")
def theirs() -> dict[str, dict[str, Any]]:
    """Read apart, because both register the package ``inference``."""
    run = subprocess.run([sys.executable, "-c", PROGRAM], cwd=SUPPORT, capture_output=True, check=True, timeout=60)
    found: dict[str, dict[str, Any]] = json.loads(run.stdout)
    return found


def test_every_name_and_number_is_tritons(theirs: dict[str, dict[str, Any]]) -> None:
    ours = facts(grpc_service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR)

    assert ours == {name: {field: theirs[name].get(field) for field in fields} for name, fields in ours.items()}


def test_nothing_of_the_service_is_left_out(theirs: dict[str, dict[str, Any]]) -> None:
    ours = facts(grpc_service_pb2.DESCRIPTOR)

    assert {name: theirs[name] for name in ours} == ours

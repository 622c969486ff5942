"""A wrong endpoint file is refused with the file, the line and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.control.endpoints import EndpointConfig
from gateway.control.yaml_file import read_yaml
from gateway.core.errors import ConfigError

GOOD = """\
name: diamond-price
traffic: {blue: 90, green: 10}
deployments:
  blue:
    model: ../models/r
  green:
    model: ../models/onnx
    workers: 2
"""


def read(tmp_path: Path, text: str) -> EndpointConfig:
    file = tmp_path / "endpoint.yaml"
    file.write_text(text)
    return read_yaml(file, EndpointConfig)


def test_paths_are_taken_from_the_file_that_names_them(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD)

    assert config.deployments["blue"].model == tmp_path.parent / "models" / "r"


def test_an_only_deployment_gets_all_traffic(tmp_path: Path) -> None:
    config = read(tmp_path, "name: one\ndeployments: {blue: {model: m}}\n")

    assert config.weight("blue") == 100


@pytest.mark.parametrize(
    ("old", "new", "line", "complaint"),
    [
        ("traffic:", "trafic:", 2, "unknown field `trafic`"),
        ("green: 10", "green: 7", 2, "expected a sum of 100, or 0, got 97"),
        ("green: 10", "red: 10", 2, '"red" is not one of the deployments blue, green'),
        ("workers: 2", "workers: two", 8, "workers: expected a whole number or nothing, got text"),
        ("green: 10", "green: 10.0", 2, "traffic.green: expected a whole number, got a decimal number"),
        ("traffic:", "sticky: {header: X-Id}\ntraffic:", 2, "line 2: sticky.header: expected the name of a header"),
        ("workers: 2", "workers: 0", 8, "expected 1 to 1024, got 0"),
        ("workers: 2", "devise: cpu", 8, "unknown field `devise`"),
        ("workers: 2", "device: gpu", 8, "expected auto, cpu, cuda:N or tensorrt:N"),
        ("workers: 2", "workers: 2\n    workers: 3", 9, '"workers" is given twice'),
        ("model: ../models/onnx", "model: 3", 7, "expected a path, got 3"),
        ("name: diamond-price", "name: -x", 1, "expected a letter"),
        ("name: diamond-price", "name: [", 3, "expected YAML"),
        ("traffic: {blue: 90, green: 10}", "auth_mode: password", 2, "Invalid enum value 'password'"),
        ("traffic: {blue: 90, green: 10}\n", "", 1, "traffic: expected a percentage for blue, green"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, GOOD.replace(old, new))

    assert f"endpoint.yaml, line {line}: " in str(caught.value)
    assert complaint in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.yaml: cannot be read: No such file"):
        read_yaml(tmp_path / "missing.yaml", EndpointConfig)

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.auth.bootstrap import StateFiles
from gateway.commands.banner import banner, shown_path
from gateway.config import Config, Settings
from gateway.control.endpoints import AuthMode, DeploymentConfig, EndpointConfig
from gateway.edge.config import EdgeConfig
from gateway.edge.tls import TlsConfig


@pytest.fixture
def config(tmp_path: Path) -> Config:
    endpoint = EndpointConfig(name="price", deployments={"blue": DeploymentConfig(model=Path("/m"))})
    return Config(root=tmp_path, settings=Settings(), endpoints={"price": endpoint})


def printed(config: Config, *, examples: Any = None, readiness: Any = None, state: str = ".lockgate") -> str:
    return "\n".join(banner(config, StateFiles(Path(state).resolve()), readiness or {}, examples or {}))


def test_a_deployment_that_cannot_serve_says_why(config: Config) -> None:
    readiness = {"endpoints": {"price": {"blue": {"ready": False, "reason": "expected signature.json"}}}}

    assert "blue  100 %  NOT READY: expected signature.json" in printed(config, readiness=readiness)


def test_without_a_sample_file_the_models_example_is_offered(config: Config) -> None:
    assert "lockgate invoke price --example\n" in printed(config)


def test_a_sample_file_of_the_endpoint_is_offered_over_both_protocols(config: Config) -> None:
    folder = config.root / "requests"
    folder.mkdir()
    (folder / "price.expected.json").write_text("")
    (folder / "price.json").write_text("[]")
    text = printed(config)

    assert f"lockgate invoke price --data {shown_path(folder / 'price.json')}" in text
    assert "--protocol grpc" in text
    assert "expected.json" not in text


def test_options_are_given_only_where_they_differ_from_the_defaults(config: Config) -> None:
    edge = EdgeConfig(http_port=1234)
    other = msgspec.structs.replace(config, settings=Settings(edge=edge))

    assert "--port 1234" in printed(other)
    assert "--state-dir elsewhere" in printed(config, state="elsewhere")
    assert "--port" not in printed(config)


def test_the_state_directorys_ca_is_trusted_only_where_it_signed(config: Config) -> None:
    tls = TlsConfig(certificate=Path("/etc/tls/tls.crt"), key=Path("/etc/tls/tls.key"))
    own = msgspec.structs.replace(config, settings=Settings(edge=EdgeConfig(tls=tls)))
    examples = {"price": {"columns": ["x"], "row": [1]}}

    assert "curl --cacert" in printed(config, examples=examples)
    assert "curl --cacert" not in printed(own, examples=examples)


def test_clear_text_is_named_as_such(config: Config) -> None:
    edge = EdgeConfig(plaintext="anywhere", plaintext_port=8080)

    assert "port 8080, in clear text, anywhere" in printed(
        msgspec.structs.replace(config, settings=Settings(edge=edge))
    )
    assert "clear text" not in printed(config)


def test_a_value_of_the_example_cannot_break_out_of_the_command(config: Config) -> None:
    text = printed(config, examples={"price": {"columns": ["x"], "row": ["'; rm -rf / #"]}})

    assert """[["'"'"'; rm -rf / #"]]""" in text


def test_an_address_of_ip_version_6_is_in_brackets(config: Config) -> None:
    other = msgspec.structs.replace(config, settings=Settings(edge=EdgeConfig(host="::1")))

    assert "https://[::1]:8443" in printed(other)


@pytest.mark.parametrize(
    ("mode", "credential", "key_file"),
    [
        ("token", 'Bearer $(lockgate token price --plain)"', " --key-file <(lockgate token price --plain)"),
        ("aad_token", 'Bearer $TOKEN"', ' --key-file <(echo "$TOKEN")'),
    ],
)
def test_the_commands_show_what_the_endpoint_takes(
    config: Config, mode: AuthMode, credential: str, key_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: "lockgate")
    endpoint = msgspec.structs.replace(config.endpoints["price"], auth_mode=mode)
    other = msgspec.structs.replace(config, endpoints={"price": endpoint})
    text = printed(other, examples={"price": {"columns": ["x"], "row": [1]}})

    assert f'-H "Authorization: {credential}' in text
    assert f"lockgate invoke price --example{key_file}" in text
    assert "demo.key" not in text


def test_the_example_of_a_script_that_takes_text_is_sent_as_it_is(config: Config) -> None:
    text = printed(config, examples={"price": {"text": '{"x": [1, 2.5]}'}})

    assert """--data-raw '{"x": [1, 2.5]}'""" in text
    assert "invoke price --example" in text


def test_no_request_is_offered_for_a_script_that_takes_text_and_brings_no_example(config: Config) -> None:
    text = printed(config, examples={"price": {"text": None}})

    assert "signature.json can give an example" in text
    assert "curl" not in text
    assert "--example" not in text

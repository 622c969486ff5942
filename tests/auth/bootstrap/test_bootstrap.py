from __future__ import annotations

import os
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from stat import S_IMODE

import pytest

from gateway.auth.api_key import digest
from gateway.auth.bootstrap import StateFiles, prepare_state
from gateway.auth.key_file import read_keys
from gateway.core.access import Role
from gateway.core.errors import ConfigError

NOW = datetime.now(UTC)


def handshake(files: StateFiles, name: str) -> None:
    """A TLS handshake in memory, by the certificate's own files."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.private_key)
    client = ssl.create_default_context(cafile=str(files.ca))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert ends[0].getpeercert()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "models.test"])
def test_a_strict_client_that_trusts_the_ca_accepts_the_server_by_any_of_its_names(tmp_path: Path, name: str) -> None:
    handshake(prepare_state(tmp_path / "state", hostname="models.test"), name)


def test_another_name_is_refused(tmp_path: Path) -> None:
    files = prepare_state(tmp_path / "state", hostname="models.test")

    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(files, "elsewhere.test")


def test_the_hosts_own_name_is_one_of_the_names(tmp_path: Path) -> None:
    handshake(prepare_state(tmp_path / "state"), socket.gethostname())


def test_nobody_else_can_read_the_directory_the_private_key_or_the_api_key(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files = prepare_state(tmp_path / "state")
    finally:
        os.umask(before)

    assert S_IMODE(files.root.stat().st_mode) == 0o700
    assert S_IMODE(files.run.stat().st_mode) == 0o700
    for secret in (files.private_key, files.demo_key, files.keys):
        assert S_IMODE(secret.stat().st_mode) == 0o600


def test_a_directory_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)

    assert S_IMODE(prepare_state(tmp_path / "state").root.stat().st_mode) == 0o700


def test_of_the_two_generated_keys_one_scores_and_one_is_for_the_admin_api(tmp_path: Path) -> None:
    files = prepare_state(tmp_path / "state")
    roles = {key.sha256: (key.name, key.roles) for key in read_keys(files.keys)}
    made = [digest(file.read_text().strip()) for file in (files.demo_key, files.admin_key)]

    assert [roles[sha256] for sha256 in made] == [("demo", (Role.SCORE,)), ("admin", (Role.ADMIN,))]


def test_generated_keys_are_kept_only_as_digests_and_shown_to_their_owner_alone(tmp_path: Path) -> None:
    files = prepare_state(tmp_path / "state")
    keys = [file.read_text().strip() for file in (files.demo_key, files.admin_key)]

    assert not [key for key in keys if key in files.keys.read_text()]
    assert {S_IMODE(file.stat().st_mode) for file in (files.demo_key, files.admin_key, files.keys)} == {0o600}


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    def contents(files: StateFiles) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in files.root.iterdir() if path.is_file()}

    first = contents(prepare_state(tmp_path / "state"))

    assert contents(prepare_state(tmp_path / "state")) == first
    assert set(first) == {"ca.pem", "server.pem", "server.key", "demo.key", "admin.key", "keys.json"}


def test_a_certificate_that_is_about_to_end_is_renewed_and_the_key_kept(tmp_path: Path) -> None:
    files = prepare_state(tmp_path / "state", now=NOW - timedelta(days=370))
    old, key = files.certificate.read_bytes(), files.demo_key.read_bytes()
    prepare_state(tmp_path / "state", now=NOW)

    assert files.certificate.read_bytes() != old
    assert files.demo_key.read_bytes() == key
    handshake(files, "localhost")


def test_no_certificate_is_made_where_the_operator_has_one(tmp_path: Path) -> None:
    files = prepare_state(tmp_path / "state", makes_certificate=False)

    assert files.keys.exists()
    assert [path.name for path in (files.ca, files.certificate, files.private_key) if path.exists()] == []


def test_a_new_host_name_gets_a_new_certificate(tmp_path: Path) -> None:
    prepare_state(tmp_path / "state", hostname="old.test")

    handshake(prepare_state(tmp_path / "state", hostname="new.test"), "new.test")


@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "server.key"])
def test_a_damaged_file_is_made_again(tmp_path: Path, name: str) -> None:
    files = prepare_state(tmp_path / "state")
    (files.root / name).write_text("not PEM")

    handshake(prepare_state(tmp_path / "state"), "localhost")


def test_a_certificate_of_another_ca_is_made_again(tmp_path: Path) -> None:
    files = prepare_state(tmp_path / "state")
    files.ca.write_bytes(prepare_state(tmp_path / "other").ca.read_bytes())

    handshake(prepare_state(tmp_path / "state"), "localhost")


def test_a_demo_key_that_was_deleted_on_purpose_stays_away(tmp_path: Path) -> None:
    files = prepare_state(tmp_path / "state")
    files.demo_key.unlink()

    assert not prepare_state(tmp_path / "state").demo_key.exists()


def test_a_file_in_the_place_of_the_directory_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")

    with pytest.raises(ConfigError, match="state: expected a directory that can be written"):
        prepare_state(tmp_path / "state")

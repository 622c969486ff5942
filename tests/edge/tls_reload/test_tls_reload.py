"""A pair is taken when it is new and good, for handshakes that begin from then on."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from structlog.testing import capture_logs

from gateway.core.errors import ConfigError
from gateway.edge.tls_reload import Certificates, TlsFiles
from tests.support.tls_files import SecretMount, ServerFiles, fingerprint_of, handshake

Logs = list[Any]


@pytest.fixture
def server(tmp_path: Path) -> ServerFiles:
    return ServerFiles.made(tmp_path)


@pytest.fixture
def logs() -> Iterator[Logs]:
    with capture_logs() as logs:
        yield logs


def shown(server: ServerFiles, context: ssl.SSLContext) -> str:
    """The fingerprint that a client sees."""
    return fingerprint_of(handshake(server.client(), context)[0].getpeercert(binary_form=True))


def test_a_new_pair_is_shown_from_the_next_handshake_on(server: ServerFiles) -> None:
    certificates = Certificates(server.files)
    context = certificates.context(http2=True)
    new = server.renew()
    certificates.look()

    assert shown(server, context) == new


def test_all_listeners_get_it_and_keep_their_protocols(server: ServerFiles) -> None:
    certificates = Certificates(server.files)
    contexts = [certificates.context(http2=http2) for http2 in (True, False)]
    contexts[0].set_alpn_protocols(["h2"])  # as h2grpc does with the context of its own port
    new = server.renew()
    certificates.look()
    client = server.client()
    client.set_alpn_protocols(["http/1.1", "h2"])

    assert [shown(server, context) for context in contexts] == [new, new]
    assert [handshake(client, context)[0].selected_alpn_protocol() for context in contexts] == ["h2", "http/1.1"]


def test_a_pair_with_another_kind_of_key_leaves_nothing_of_the_old_one(server: ServerFiles) -> None:
    certificates = Certificates(server.files)
    context = certificates.context(http2=True)
    new = server.renew(trustme.KeyType.RSA)
    certificates.look()

    assert shown(server, context) == new


def test_a_handshake_that_had_begun_ends_with_what_it_began_with(server: ServerFiles) -> None:
    certificates = Certificates(server.files)
    context = certificates.context(http2=True)
    old = shown(server, context)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    begun = context.wrap_bio(to_server, to_client, server_side=True)
    server.renew()
    certificates.look()
    client = server.client().wrap_bio(to_client, to_server, server_hostname="localhost")
    for end in (client, begun, client):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue

    assert fingerprint_of(client.getpeercert(binary_form=True)) == old


def test_the_swap_of_a_mounted_secret_is_a_change(tmp_path: Path, server: ServerFiles) -> None:
    (tmp_path / "mount").mkdir()
    mount = SecretMount(tmp_path / "mount", server.authority)
    mount.renew()
    certificates = Certificates(mount.files)
    context = certificates.context(http2=True)
    new = mount.renew()
    certificates.look()

    assert shown(server, context) == new


def test_a_pair_that_was_written_over_with_its_old_times_is_a_change(tmp_path: Path, server: ServerFiles) -> None:
    (tmp_path / "other").mkdir()
    other = ServerFiles(tmp_path / "other", server.authority)
    new = other.renew()
    paths = (server.files.certificate, server.files.key)
    for path in paths:
        path.write_bytes(path.read_bytes().ljust(4096, b"\n"))
    certificates = Certificates(server.files)
    for path in paths:
        status = path.stat()
        path.write_bytes((other.folder / path.name).read_bytes().ljust(4096, b"\n"))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    certificates.look()

    assert certificates.current.fingerprint == new


def test_what_was_taken_is_told_with_its_end_and_without_its_key(server: ServerFiles, logs: Logs) -> None:
    certificates = Certificates(server.files)
    new = server.renew()
    certificates.look()

    assert [(each["event"], each["fingerprint"]) for each in logs] == [("edge.certificate_reloaded", new)]
    assert logs[0]["not_after"] == certificates.current.ends.isoformat()
    assert "PRIVATE" not in repr(logs) + repr(certificates.current)


def test_files_that_do_not_change_are_never_read_again(server: ServerFiles, logs: Logs) -> None:
    certificates = Certificates(server.files)
    before = certificates.current
    certificates.look()

    assert certificates.current is before
    assert logs == []


def test_the_same_pair_written_again_is_no_news(server: ServerFiles, logs: Logs) -> None:
    certificates = Certificates(server.files)
    server.files.certificate.write_bytes(server.files.certificate.read_bytes())
    certificates.look()

    assert logs == []


def spoil(server: ServerFiles, how: str) -> None:
    files, other = server.files, server.authority.issue_cert("localhost")
    match how:
        case "a key of another certificate":
            other.private_key_pem.write_to_path(str(files.key))
        case "no PEM":
            files.certificate.write_text("nothing")
        case "half a file":
            files.certificate.write_bytes(files.certificate.read_bytes()[:300])
        case "no file":
            files.key.unlink()
        case "a folder":
            files.key.unlink()
            files.key.mkdir()
        case "a dangling link":
            files.key.unlink()
            files.key.symlink_to("gone/server.key")
        case "one that has ended" | "one that has not begun":
            now = datetime.now(UTC)
            if how == "one that has ended":
                leaf = server.authority.issue_cert("localhost", not_after=now - timedelta(days=1))
            else:
                leaf = server.authority.issue_cert("localhost", not_before=now + timedelta(days=1))
            leaf.cert_chain_pems[0].write_to_path(str(files.certificate))
            leaf.private_key_pem.write_to_path(str(files.key))


BAD = [
    "a key of another certificate",
    "no PEM",
    "half a file",
    "no file",
    "a dangling link",
    "a folder",
    "one that has ended",
    "one that has not begun",
]


@pytest.mark.parametrize("how", BAD)
def test_a_bad_pair_is_refused_and_the_old_one_kept(server: ServerFiles, how: str, logs: Logs) -> None:
    certificates = Certificates(server.files)
    context = certificates.context(http2=True)
    old = shown(server, context)
    spoil(server, how)
    certificates.look()
    certificates.look()

    assert shown(server, context) == old
    assert [(each["event"], each["kept"]) for each in logs] == [("edge.certificate_refused", old)]
    assert certificates.facts["refused"] == logs[0]["reason"]


def test_what_is_refused_is_told_once(server: ServerFiles, logs: Logs) -> None:
    certificates = Certificates(server.files)
    spoil(server, "no PEM")
    for _ in range(5):
        certificates.look()

    assert len(logs) == 1


def test_a_pair_that_is_half_written_at_one_look_and_whole_at_the_next_is_not_refused(
    server: ServerFiles, logs: Logs
) -> None:
    certificates = Certificates(server.files)
    spoil(server, "a key of another certificate")
    certificates.look()
    new = server.renew()
    certificates.look()

    assert [each["event"] for each in logs] == ["edge.certificate_reloaded"]
    assert certificates.current.fingerprint == new


def test_a_good_pair_after_a_refused_one_is_taken(server: ServerFiles) -> None:
    certificates = Certificates(server.files)
    spoil(server, "no file")
    certificates.look()
    certificates.look()
    new = server.renew()
    certificates.look()

    assert (certificates.current.fingerprint, certificates.facts["refused"]) == (new, "")


def test_a_listener_does_not_start_with_a_bad_pair(server: ServerFiles) -> None:
    spoil(server, "a key of another certificate")

    with pytest.raises(ConfigError, match=r"server\.pem"):
        Certificates(server.files)


# --- clients' certificates -----------------------------------------------------------------------------------------


def test_clients_whom_an_authority_vouched_for_that_is_trusted_no_more_are_turned_away(server: ServerFiles) -> None:
    files = server.with_clients
    certificates = Certificates(files, "required")
    context = certificates.context(http2=True)
    client = server.client(server.authority.issue_cert("client.test"))
    session = handshake(client, context)[0].session
    assert files.client_ca is not None
    trustme.CA().cert_pem.write_to_path(str(files.client_ca))
    certificates.look()

    with pytest.raises(ssl.SSLError):
        handshake(client, context)
    with pytest.raises(ssl.SSLError):
        handshake(client, context, session)  # nor does a ticket of before let them in


# --- its end -------------------------------------------------------------------------------------------------------


class Calendar:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


def ending(folder: Path, calendar: Calendar, days: float) -> TlsFiles:
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost", not_after=calendar.now + timedelta(days=days))
    files = TlsFiles(folder / "server.pem", folder / "server.key")
    leaf.cert_chain_pems[0].write_to_path(str(files.certificate))
    leaf.private_key_pem.write_to_path(str(files.key))
    return files


def test_the_days_that_are_left_are_counted(tmp_path: Path, calendar: Calendar) -> None:
    certificates = Certificates(ending(tmp_path, calendar, 30), now=calendar)
    calendar.now += timedelta(days=10)

    assert certificates.facts["days_left"] == 20.0


def test_from_two_weeks_before_the_end_there_is_a_warning_a_day(tmp_path: Path, calendar: Calendar, logs: Logs) -> None:
    certificates = Certificates(ending(tmp_path, calendar, 15.6), now=calendar)
    told = []
    for _ in range(6):
        calendar.now += timedelta(hours=12)
        certificates.look()
        told.append([each["event"] for each in logs])
        logs.clear()

    assert told == [[], [], [], ["edge.certificate_ends_soon"], [], ["edge.certificate_ends_soon"]]


def test_a_renewed_pair_ends_the_warnings(tmp_path: Path, calendar: Calendar, logs: Logs) -> None:
    certificates = Certificates(ending(tmp_path, calendar, 3), now=calendar)
    ending(tmp_path, calendar, 90)
    certificates.look()
    calendar.now += timedelta(days=1)
    certificates.look()

    assert [each["event"] for each in logs] == ["edge.certificate_ends_soon", "edge.certificate_reloaded"]

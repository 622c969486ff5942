"""The CA and the pairs that the command makes hold up in a handshake, and secrets stay with their owner."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from stat import S_IMODE

import pytest
from cryptography import x509

from gateway.commands.certs import Kind, PairOptions, make_ca, make_pair
from gateway.core.errors import ConfigError
from tests.support.stack import run_lockgate
from tests.support.tls_files import handshake

NOW = datetime.now(UTC)


def pair(out: Path, kind: Kind, *alternatives: str, name: str = "", days: int = 30, is_forced: bool = False) -> Path:
    """The certificate's file; its key lies beside it."""
    options = PairOptions(
        kind=kind, out=out, name=name or kind, alternatives=alternatives, days=days, is_forced=is_forced
    )
    return make_pair(options, NOW)[0]


def ends(out: Path, client: Path, server: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Both as strict as they can be, in mutual TLS."""
    contexts = (
        ssl.create_default_context(cafile=str(out / "ca.pem")),
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(out / "ca.pem")),
    )
    for context, path in zip(contexts, (client, server), strict=True):
        context.load_cert_chain(path, path.with_suffix(".key"))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.verify_mode = ssl.CERT_REQUIRED
    return contexts


@pytest.mark.parametrize("kind", ["server", "worker"])
def test_a_pair_of_each_kind_holds_up_against_a_clients(tmp_path: Path, kind: Kind) -> None:
    make_ca(tmp_path, "Ours", 30, NOW)
    client = pair(tmp_path, "client", "spiffe://prod/bob")
    seen = handshake(*ends(tmp_path, client, pair(tmp_path, kind)))[1].getpeercert()

    assert seen
    assert seen["subjectAltName"] == (("URI", "spiffe://prod/bob"),)
    assert seen["subject"] == ((("commonName", "client"),),)


@pytest.mark.parametrize(("client", "server"), [("server", "worker"), ("client", "client")])
def test_nobody_takes_a_pair_for_what_it_is_not_made_for(tmp_path: Path, client: Kind, server: Kind) -> None:
    make_ca(tmp_path, "Ours", 30, NOW)
    paths = pair(tmp_path, client, "localhost", name="a"), pair(tmp_path, server, "localhost", name="b")

    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        handshake(*ends(tmp_path, *paths))


def test_the_names_that_were_asked_for_are_in_it_and_no_others(tmp_path: Path) -> None:
    path = pair(tmp_path, "server", "models.test", "10.0.0.7", "fd00::7")
    names = x509.load_pem_x509_certificate(path.read_bytes()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )

    assert names.value.get_values_for_type(x509.DNSName) == ["models.test"]
    assert [str(address) for address in names.value.get_values_for_type(x509.IPAddress)] == ["10.0.0.7", "fd00::7"]


def test_private_keys_are_their_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_ca(tmp_path / "new", "Ours", 30, NOW)
        pair(tmp_path / "new", "server")
    finally:
        os.umask(before)

    assert {S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").glob("*.key")} == {0o600}
    assert S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_pair_alone_gets_a_ca_whose_key_is_forgotten(tmp_path: Path) -> None:
    pair(tmp_path, "server")

    assert {path.name for path in tmp_path.iterdir()} == {"ca.pem", "server.pem", "server.key"}


def test_a_ca_without_its_key_signs_nothing_more(tmp_path: Path) -> None:
    pair(tmp_path, "server")

    with pytest.raises(ConfigError, match=r"ca\.pem: expected its key beside it"):
        pair(tmp_path, "client")


def test_a_key_of_another_ca_signs_nothing(tmp_path: Path) -> None:
    make_ca(tmp_path / "a", "A", 30, NOW)
    make_ca(tmp_path / "b", "B", 30, NOW)
    (tmp_path / "b" / "ca.key").replace(tmp_path / "a" / "ca.key")

    with pytest.raises(ConfigError, match=r"ca\.key: expected the key of"):
        pair(tmp_path / "a", "server")


def test_nothing_that_is_there_is_replaced(tmp_path: Path) -> None:
    make_ca(tmp_path, "Ours", 30, NOW)
    path = pair(tmp_path, "server")
    before = path.read_bytes()

    with pytest.raises(ConfigError, match=r"server\.pem: expected no such file"):
        pair(tmp_path, "server")
    with pytest.raises(ConfigError, match=r"ca\.pem: expected no such file"):
        make_ca(tmp_path, "Ours", 30, NOW)
    assert path.read_bytes() == before


def test_unless_that_is_asked_for(tmp_path: Path) -> None:
    make_ca(tmp_path, "Ours", 30, NOW)
    before = pair(tmp_path, "server").read_bytes()

    assert pair(tmp_path, "server", is_forced=True).read_bytes() != before


def test_a_pair_ends_with_its_ca_at_the_latest(tmp_path: Path) -> None:
    make_ca(tmp_path, "Ours", 10, NOW)
    made = x509.load_pem_x509_certificate(pair(tmp_path, "server", days=30).read_bytes())

    assert abs(made.not_valid_after_utc - NOW - timedelta(days=10)) < timedelta(seconds=2)


@pytest.mark.parametrize("name", ["ca", "../up", "", ".hidden", "a/b", "x" * 65])
def test_a_name_that_is_no_file_of_its_own_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="--name"):
        make_pair(PairOptions(kind="server", out=tmp_path, name=name), NOW)


@pytest.mark.parametrize("san", ["", "two words", "host:80", "https:/x"])
def test_a_name_that_cannot_be_in_a_certificate_is_refused(tmp_path: Path, san: str) -> None:
    with pytest.raises(ConfigError, match="--san"):
        make_pair(PairOptions(kind="server", out=tmp_path, name="server", alternatives=[san]), NOW)


def test_the_command_tells_what_it_has_written(tmp_path: Path) -> None:
    done = run_lockgate("certs", "client", "--out", str(tmp_path / "pki"), "--name", "bob", "--san", "bob@example.test")

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "pki" / name) for name in ("bob.pem", "bob.key", "ca.pem")]

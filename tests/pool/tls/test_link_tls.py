"""Which addresses of workers are taken, and with what the gateway comes to them."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from gateway.core.errors import ConfigError
from gateway.pool.config import LinkTlsConfig, PoolConfig
from gateway.pool.tls import link_context, refuse_open_links

LOCAL = ["unix:/run/w.sock", "127.0.0.1:9000", "127.8.8.8:9000", "localhost:9000", "[::1]:9000"]
REMOTE = [
    "10.0.0.7:9000",
    "worker.test:9000",
    "0.0.0.0:9000",
    "[::]:9000",
    "[fd00::7]:9000",
    "127.0.0.1.evil.test:9000",
]


def config(folder: Path) -> LinkTlsConfig:
    ca = trustme.CA()
    leaf = ca.issue_cert("gateway.test")
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    leaf.cert_chain_pems[0].write_to_path(str(folder / "gateway.pem"))
    leaf.private_key_pem.write_to_path(str(folder / "gateway.key"))
    return LinkTlsConfig(ca=folder / "ca.pem", certificate=folder / "gateway.pem", key=folder / "gateway.key")


@pytest.mark.parametrize("address", LOCAL)
def test_what_only_this_machine_reaches_needs_no_certificates(address: str) -> None:
    refuse_open_links(PoolConfig(), [address])


@pytest.mark.parametrize("address", REMOTE)
def test_rows_do_not_leave_this_machine_in_clear_text(address: str) -> None:
    with pytest.raises(ConfigError, match=r"pool\.tls: expected certificates for"):
        refuse_open_links(PoolConfig(), [*LOCAL, address])


def test_unless_the_settings_say_so() -> None:
    refuse_open_links(PoolConfig(insecure=True), REMOTE)


def test_with_certificates_every_address_is_taken(tmp_path: Path) -> None:
    refuse_open_links(PoolConfig(tls=config(tmp_path)), REMOTE)


def test_without_settings_there_is_no_tls() -> None:
    assert link_context(PoolConfig()) is None


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    tls = config(tmp_path)
    tls.key.unlink()

    with pytest.raises(ConfigError, match=r"gateway\.key: expected a file in PEM format"):
        link_context(PoolConfig(tls=tls))

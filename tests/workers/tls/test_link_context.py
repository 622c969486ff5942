"""Both ends of the link insist on each other, and take new files for new connections."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from structlog.testing import capture_logs

from workers.tls import LinkContext, LinkFiles, LinkTlsError


class Links:
    """A private authority and what it has signed for both ends, in one folder each."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.worker, self.gateway = (self._files(folder / end) for end in ("worker", "gateway"))
        self.renew()

    def _files(self, folder: Path) -> LinkFiles:
        folder.mkdir()
        return LinkFiles(folder / "ca.pem", folder / "own.pem", folder / "own.key")

    def renew(self) -> None:
        """New pairs for both."""
        self.write(self.worker, self.authority, "worker.test")
        self.write(self.gateway, self.authority, "gateway.test")

    def write(self, files: LinkFiles, signer: trustme.CA, name: str) -> None:
        leaf = signer.issue_cert(name)
        self.authority.cert_pem.write_to_path(str(files.ca))
        leaf.cert_chain_pems[0].write_to_path(str(files.certificate))
        leaf.private_key_pem.write_to_path(str(files.key))


@pytest.fixture
def links(tmp_path: Path) -> Links:
    return Links(tmp_path)


def ends(links: Links, server_name: str = "") -> tuple[LinkContext, LinkContext]:
    return (
        LinkContext(links.gateway, is_server=False, server_name=server_name),
        LinkContext(links.worker, is_server=True),
    )


def meet(contexts: tuple[ssl.SSLContext, ssl.SSLContext], name: str = "worker.test") -> tuple[bytes, bytes]:
    """What each end has seen of the other; raises what the gateway finds wrong, or else the worker."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    gateway = contexts[0].wrap_bio(to_client, to_server, server_hostname=name)
    worker = contexts[1].wrap_bio(to_server, to_client, server_side=True)
    for end in (gateway, worker) * 3:
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()
    assert gateway.selected_alpn_protocol() == worker.selected_alpn_protocol() == "h2"
    return gateway.getpeercert(binary_form=True) or b"", worker.getpeercert(binary_form=True) or b""


def der(files: LinkFiles) -> bytes:
    return ssl.PEM_cert_to_DER_cert(files.certificate.read_text())


def test_each_end_sees_the_others_certificate(links: Links) -> None:
    assert meet(ends(links)) == (der(links.worker), der(links.gateway))


def test_new_files_are_used_from_the_next_connection_on(links: Links) -> None:
    contexts = ends(links)
    meet(contexts)
    links.renew()

    assert meet(contexts) == (der(links.worker), der(links.gateway))


def test_a_new_authority_shuts_out_those_of_the_old_one(links: Links) -> None:
    contexts = ends(links)
    meet(contexts)
    trustme.CA().cert_pem.write_to_path(str(links.worker.ca))

    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        meet(contexts)


def test_bad_new_files_are_refused_once_and_the_old_ones_kept(links: Links) -> None:
    contexts = ends(links)
    before = der(links.worker)
    links.worker.certificate.write_text("nothing")
    with capture_logs() as logs:
        seen = [meet(contexts)[0] for _ in range(3)]

    assert seen == [before] * 3
    assert [each["event"] for each in logs] == ["link.certificate_refused"]


def test_a_gateway_without_a_certificate_is_turned_away(links: Links) -> None:
    client = ssl.create_default_context(cafile=str(links.gateway.ca))
    client.set_alpn_protocols(["h2"])

    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        meet((client, ends(links)[1]))


def test_a_gateway_whose_certificate_a_stranger_signed_is_turned_away(links: Links) -> None:
    links.write(links.gateway, trustme.CA(), "gateway.test")

    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        meet(ends(links))


def test_a_worker_whose_certificate_a_stranger_signed_is_not_talked_to(links: Links) -> None:
    links.write(links.worker, trustme.CA(), "worker.test")

    with pytest.raises(ssl.SSLCertVerificationError):
        meet(ends(links))


def test_a_worker_with_another_name_is_not_talked_to(links: Links) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"10\.0\.0\.7"):
        meet(ends(links), "10.0.0.7")


def test_a_name_in_the_settings_stands_for_any_address(links: Links) -> None:
    assert meet(ends(links, server_name="worker.test"), "10.0.0.7")


@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
def test_a_file_that_is_missing_is_named(links: Links, name: str) -> None:
    path: Path = getattr(links.worker, name)
    path.unlink()

    with pytest.raises(LinkTlsError, match=path.name):
        LinkContext(links.worker, is_server=True)

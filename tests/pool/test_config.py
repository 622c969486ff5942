from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway.pool.config import LinkTlsConfig, PoolConfig

NO_NUMBERS = ("grpc_engine", "tls", "insecure")


@pytest.mark.parametrize("name", [name for name in PoolConfig.__struct_fields__ if name not in NO_NUMBERS])
def test_every_setting_is_positive(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        msgspec.structs.replace(PoolConfig(), **{name: 0})


def test_the_longest_backoff_is_not_shorter_than_the_first() -> None:
    with pytest.raises(ValueError, match="max_backoff_ms"):
        PoolConfig(min_backoff_ms=10, max_backoff_ms=9)


def test_an_unknown_setting_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError, match="max_workers"):
        msgspec.convert({"max_workers": 1}, PoolConfig)


def test_certificates_and_clear_text_do_not_go_together() -> None:
    tls = LinkTlsConfig(ca=Path("ca"), certificate=Path("cert"), key=Path("key"))

    with pytest.raises(ValueError, match="insecure: expected false where there is tls"):
        PoolConfig(tls=tls, insecure=True)

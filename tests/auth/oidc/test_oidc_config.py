"""What is wrong with the settings of a provider is said by name, before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.auth.config import OidcConfig
from gateway.config import Settings
from gateway.control.yaml_file import read_yaml

TENANT = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
GOOD: dict[str, Any] = {"tenant": TENANT, "audiences": ["us"], "grants": [{"roles": ["score"]}]}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"issuer": "https://x.example"}, "issuer"),
        ({"tenant": ""}, "issuer"),
        ({"tenant": "common"}, "tenant"),
        ({"tenant": TENANT.upper()}, "tenant"),
        ({"authority": "http://login.example"}, "authority"),
        ({"jwks_uri": "keys.json"}, "jwks_uri"),
        ({"jwks_uri": "https://user:word@x.example/keys"}, "jwks_uri"),
        ({"audiences": []}, "audiences"),
        ({"audiences": [""]}, "audiences"),
        ({"grants": []}, "grants"),
        ({"grants": [{"roles": []}]}, "roles"),
        ({"grants": [{"roles": ["score"], "claim": "roles"}]}, "claim"),
        ({"grants": [{"roles": ["everything"]}]}, "everything"),
        ({"algorithms": []}, "algorithms"),
        ({"algorithms": ["none"]}, "none"),
        ({"algorithms": ["RS256", "HS256"]}, "HS256"),
        ({"leeway_s": 3600}, "leeway_s"),
        ({"refresh_hours": 0}, "refresh_hours"),
        ({"timeout_ms": 0}, "timeout_ms"),
        ({"cached_tokens": 0}, "cached_tokens"),
        ({"audience": "us"}, "audience"),
    ],
)
def test_a_wrong_setting_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=named):
        msgspec.convert({**GOOD, **change}, OidcConfig)


def test_a_tenant_stands_for_its_issuers_of_both_versions() -> None:
    config = msgspec.convert(GOOD, OidcConfig)

    assert config.issuers == (
        f"https://login.microsoftonline.com/{TENANT}/v2.0",
        f"https://sts.windows.net/{TENANT}/",
    )
    assert config.discovery == f"https://login.microsoftonline.com/{TENANT}/v2.0/.well-known/openid-configuration"


def test_lockgate_yaml_has_a_place_for_it(tmp_path: Path) -> None:
    file = tmp_path / "lockgate.yaml"
    file.write_text(
        f"auth:\n  oidc:\n    tenant: {TENANT}\n    audiences: [us]\n    ca: idp.pem\n"
        "    grants:\n    - {claim: roles, value: Model.Score, roles: [score], endpoints: [price]}\n"
    )
    oidc = read_yaml(file, Settings).auth.oidc

    assert oidc is not None
    assert oidc.ca == tmp_path / "idp.pem"
    assert oidc.grants[0].endpoints == ["price"]

"""One gateway process as its admin API shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.control.admin_api import Readiness
from gateway.core.catalog import Catalog
from gateway.telemetry.metrics import GatewayMetrics

__all__ = ["GatewayAdmin"]


class GatewayAdmin:
    """
    Implements ``AdminSource``. ``is_ready`` says whether all that has traffic can serve; false while draining.

    ``certificate`` tells which one is shown to callers, and for how long it is good.
    """

    def __init__(
        self,
        catalog: Catalog,
        metrics: GatewayMetrics,
        is_ready: Callable[[], bool],
        certificate: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._catalog, self._metrics, self._is_ready, self._certificate = catalog, metrics, is_ready, certificate

    async def readiness(self) -> Readiness:
        endpoints = {
            endpoint.name: {
                name: {"ready": state.is_ready, "weight": state.weight, "reason": state.reason}
                for name, state in endpoint.deployments.items()
            }
            for endpoint in self._catalog.endpoints()
        }
        certificate = self._certificate()
        return Readiness(
            self._is_ready(), {"endpoints": endpoints, **({"certificate": certificate} if certificate else {})}
        )

    async def metrics(self) -> bytes:
        return self._metrics.text()

    async def examples(self) -> dict[str, dict[str, Any]]:
        """Endpoint → column names and one example row of its default deployment, as far as the model brought one."""
        found = {}
        for endpoint in self._catalog.endpoints():
            deployment = endpoint.default.deployment
            if deployment is not None and deployment.signature.example:
                columns = [column.name for column in deployment.signature.inputs]
                found[endpoint.name] = {"columns": columns, "row": list(deployment.signature.example[0])}
        return found

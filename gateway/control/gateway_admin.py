"""One gateway process as its admin API shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.control.admin_api import Readiness
from gateway.core.catalog import Catalog
from gateway.core.signature import Signature
from gateway.telemetry.metrics import GatewayMetrics

__all__ = ["GatewayAdmin"]


class GatewayAdmin:
    """
    Implements ``AdminSource``. ``is_ready`` says whether all that has traffic can serve; false while draining.

    ``facts`` are told beside it where there are any: the version that serves, the certificate, the feature store.
    """

    def __init__(
        self,
        catalog: Catalog,
        metrics: GatewayMetrics,
        is_ready: Callable[[], bool],
        facts: Mapping[str, Callable[[], Any]],
    ) -> None:
        self._catalog, self._metrics, self._is_ready, self._facts = catalog, metrics, is_ready, facts

    async def readiness(self) -> Readiness:
        endpoints = {
            endpoint.name: {
                name: {"ready": state.is_ready, "weight": state.weight, "reason": state.reason}
                for name, state in endpoint.deployments.items()
            }
            for endpoint in self._catalog.endpoints()
        }
        more = {name: told for name, facts in self._facts.items() if (told := facts())}
        return Readiness(self._is_ready(), {"endpoints": endpoints, **more})

    async def metrics(self) -> bytes:
        return self._metrics.text()

    async def examples(self) -> dict[str, dict[str, Any]]:
        """
        Endpoint → column names and one example row of its default deployment, as far as the model brought one; of a
        script that takes the text of a request that text, or None.
        """
        found: dict[str, dict[str, Any]] = {}
        for endpoint in self._catalog.endpoints():
            deployment = endpoint.default.deployment
            if deployment is not None and deployment.takes_text:
                brought = deployment.signature.example
                found[endpoint.name] = {"text": str(brought[0][0]) if brought else None}
            elif deployment is not None and deployment.signature.example:
                found[endpoint.name] = _example(deployment.signature)
                # With features there are two ways to ask: with the keys, and with everything that the model takes.
                if deployment.model_signature is not None and deployment.model_signature.example:
                    found[endpoint.name]["whole"] = _example(deployment.model_signature)
        return found


def _example(signature: Signature) -> dict[str, Any]:
    columns = [column.name for column in signature.inputs]
    return {"columns": columns, "row": list(signature.example[0])}

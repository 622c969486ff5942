"""
The features stage: from here on a request's rows are complete and typed as the model wants them.

The body is decoded here, and not before, because only a known caller is worth the work, and because its types follow
from the signature of the deployment that was chosen.
"""

from __future__ import annotations

from gateway.core.request import Answer, Deployment, Enriched, Routed
from gateway.core.service import Service
from gateway.features.assemble import Assembler

__all__ = ["Complete"]


class Complete:
    """Makes the rows. ``max_rows`` gives the most that one request to a deployment may carry."""

    def __init__(self, max_rows: dict[tuple[str, str], int], inner: Service[Enriched, Answer]) -> None:
        self._max_rows, self._inner = max_rows, inner
        self._assemblers: dict[tuple[str, str], tuple[Deployment, Assembler]] = {}

    async def __call__(self, request: Routed, /) -> Answer:
        received, deployment = request.received, request.deployment
        rows = self._assembler(deployment)(received.read())
        received.timeline.mark("features")
        return await self._inner(Enriched(received, request.principal, deployment, request.deadline, rows))

    def _assembler(self, deployment: Deployment) -> Assembler:
        """Made once per deployment, and again when its signature was replaced."""
        key = deployment.endpoint, deployment.name
        known = self._assemblers.get(key)
        if known is None or known[0] is not deployment:
            known = self._assemblers[key] = deployment, Assembler(deployment.signature, self._max_rows[key])
        return known[1]

"""
The features stage: from here on a request's rows are complete and typed as the model wants them.

The body is decoded here, and not before, because only a known caller is worth the work, and because its types follow
from the signature of the deployment that was chosen.
"""

from __future__ import annotations

from gateway.core.request import Answer, Deployment, Enriched, Routed
from gateway.core.service import Service
from gateway.features.assemble import Assembler
from gateway.features.bindings import Bindings
from gateway.features.lookup import Completer

__all__ = ["Complete"]


class Complete:
    """
    Makes the rows. ``max_rows`` gives the most that one request to a deployment may carry; ``bindings`` completes
    them where a deployment takes features from a store.
    """

    def __init__(
        self,
        max_rows: dict[tuple[str, str], int],
        inner: Service[Enriched, Answer],
        bindings: Bindings | None = None,
    ) -> None:
        self._max_rows, self._inner, self._bindings = max_rows, inner, bindings
        self._assemblers: dict[tuple[str, str], tuple[Deployment, Assembler, Completer | None]] = {}

    async def __call__(self, request: Routed, /) -> Answer:
        received, deployment = request.received, request.deployment
        _, assembler, completer = self._of(deployment)
        if completer is None:
            rows = assembler(received.read())
        else:
            payload = received.read()
            known = completer.at_once(payload)
            rows = known if known is not None else await completer(payload, request.deadline)
        received.timeline.mark("features")
        return await self._inner(Enriched(received, request.principal, deployment, request.deadline, rows))

    def _of(self, deployment: Deployment) -> tuple[Deployment, Assembler, Completer | None]:
        """Made once per deployment, and again when its signature was replaced."""
        key = deployment.endpoint, deployment.name
        known = self._assemblers.get(key)
        if known is None or known[0] is not deployment:
            assembler = Assembler(deployment.model_signature or deployment.signature, self._max_rows[key])
            completer = self._bindings.completer(deployment, assembler) if self._bindings is not None else None
            known = self._assemblers[key] = deployment, assembler, completer
        return known

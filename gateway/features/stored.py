"""
Values that come from the feature store, made ready for a column of the model.

They pass the same conversion as a client's, so that both mean the same to the model; but who is to blame is another,
and the complaint names the feature and never shows its value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gateway.core.errors import BadFeatures, InvalidInput
from gateway.core.signature import Column
from gateway.features.values import Converter

__all__ = ["StoredConverter"]


class StoredConverter(Converter):
    """Raises ``BadFeatures`` where a ``Converter`` raises ``InvalidInput``; ``source`` is ``view:feature``."""

    __slots__ = ("_source",)

    def __init__(self, column: Column, source: str) -> None:
        super().__init__(column)
        self._source = source
        plain = self.one

        def one(value: Any, row: int) -> Any:
            try:
                return plain(value, row)
            except InvalidInput as error:
                raise self._blamed(error) from None

        self.one = one

    def many(self, values: Sequence[Any] | np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any] | list[Any]:
        try:
            return super().many(values, count)
        except InvalidInput as error:
            raise self._blamed(error) from None

    def _blamed(self, error: InvalidInput) -> BadFeatures:
        expected, _, _ = str(error).partition(", got ")
        return BadFeatures(f'feature "{self._source}" does not fit: {expected}')

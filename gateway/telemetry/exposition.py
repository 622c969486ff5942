"""
Prometheus' text format, version 0.0.4, written quickly.

A scrape is answered on the event loop that answers requests, and what it takes is a pause for all of them. With 1,300
lines ``prometheus_client.generate_latest`` takes 14 ms; this takes 1.4, because the labels of a series are written
once and not once per bucket.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from gateway.telemetry.histogram import Histogram

__all__ = ["Exposition"]

Values: TypeAlias = Sequence[str]
"""Of the labels, in their order."""


class Exposition:
    """Collects families; ``text`` gives all of them."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def counter(self, name: str, doc: str, labels: Sequence[str], series: Iterable[tuple[Values, float]]) -> None:
        """``name`` without the ``_total`` that is written."""
        self._plain(f"{name}_total", "counter", doc, labels, series)

    def gauge(self, name: str, doc: str, labels: Sequence[str], series: Iterable[tuple[Values, float]]) -> None:
        self._plain(name, "gauge", doc, labels, series)

    def histogram(self, name: str, doc: str, labels: Sequence[str], series: Iterable[tuple[Values, Histogram]]) -> None:
        self._head(name, "histogram", doc)
        lines = self._lines
        for values, histogram in series:
            inner = _labels(labels, values)
            before = f"{name}_bucket{{{inner},le=" if inner else f"{name}_bucket{{le="
            total = 0
            for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
                total += count
                lines.append(f'{before}"{bound}"}} {total}')
            total += histogram.counts[-1]
            lines.append(f'{before}"+Inf"}} {total}')
            own = f"{{{inner}}}" if inner else ""
            lines.append(f"{name}_count{own} {total}")
            lines.append(f"{name}_sum{own} {histogram.sum!r}")

    def text(self) -> bytes:
        return "\n".join([*self._lines, ""]).encode()

    def _plain(
        self, name: str, kind: str, doc: str, labels: Sequence[str], series: Iterable[tuple[Values, float]]
    ) -> None:
        self._head(name, kind, doc)
        for values, value in series:
            inner = _labels(labels, values)
            self._lines.append(f"{name}{{{inner}}} {value!r}" if inner else f"{name} {value!r}")

    def _head(self, name: str, kind: str, doc: str) -> None:
        self._lines += (f"# HELP {name} {doc}", f"# TYPE {name} {kind}")


def _labels(names: Sequence[str], values: Values) -> str:
    return ",".join([f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)])


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

"""
``lockgate compare``: what the shadows of an endpoint answer otherwise than its primary, asked of the admin API.

The verdict stands first, then what it rests on: columns with a picture of their differences, flips, errors, latency,
and the rows that differ most.
"""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from gateway.core.errors import ConfigError

__all__ = ["CompareOptions", "compare", "plot", "rendered"]

_TIMEOUT = 30.0
_BARS = " ▁▂▃▄▅▆▇█"
_WORST = 5
_FLIPS = 8
_QUANTILES = ("p01", "p25", "p50", "p75", "p99")
_VERDICTS = {
    "agrees": ("agrees", "bold green"),
    "undecided": ("UNDECIDED", "bold yellow"),
    "differs": ("DIFFERS", "bold red"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """The command line."""

    endpoint: str
    admin_port: int
    key_file: Path
    is_json: bool


def compare(options: CompareOptions, console: Console) -> int:
    """Print the report; 1 when it was refused. Raises ``ConfigError`` for what is wrong on this side."""
    status, body = _ask(options)
    if status != 200:
        sys.stderr.write(f"lockgate: {_reason(status, body)}\n")
        return 1
    report = json.loads(body)
    if options.is_json:
        sys.stdout.write(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
        return 0
    for part in rendered(report):
        console.print(part)
    return 0


def rendered(report: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The report, part by part."""
    if not report["shadows"]:
        yield Text(f"{report['endpoint']} has no shadows: nothing is in its mirror_traffic")
        return
    for shadow in report["shadows"]:
        for comparison in shadow["comparisons"]:
            yield _verdict(report, shadow, comparison)
            yield _columns(comparison)
            yield from _flips(comparison)
            yield _latency(comparison)
            yield from _worst(comparison)
            yield Text("")
        if not shadow["comparisons"]:
            yield Text(f"{shadow['deployment']}: nothing to compare yet", style="bold")
        yield Text(_counts(shadow), style="dim")
        yield Text("")
    if withheld := report.get("inputs_withheld"):  # a server of before does not say it
        yield Text(f"{withheld}: see --key-file", style="dim")


def plot(bars: Sequence[Sequence[float]]) -> str:
    """Bars of a histogram, one character each; the highest is full, and what is there at all is seen."""
    if not bars:
        return ""
    highest = max(height for _, height in bars) or 1
    top = len(_BARS) - 1
    return "".join(_BARS[0 if not height else max(1, round(height / highest * top))] for _, height in bars)


def _verdict(report: Mapping[str, Any], shadow: Mapping[str, Any], one: Mapping[str, Any]) -> Text:
    name = f"{report['endpoint']}: {shadow['deployment']} against {one['primary']}"
    noise = one["noise_agreement"]
    own = "" if noise is None else f"; {one['primary']} agrees with itself on {_percent(noise)}{_of(one)}"
    verdict = one.get("verdict") or ("differs" if one["differs"] else "agrees")
    if verdict == "undecided":
        own += ", too few to tell"
    text = Text(f"{name}  ", style="bold")
    text.append(*_VERDICTS[verdict])
    return text.append(
        f"  on {_percent(one['agreement'])} of {one['rows']} rows they say the same{own}", style="default"
    )


def _of(one: Mapping[str, Any]) -> str:
    """Of how many rows; a server of before does not say it."""
    rows = one.get("noise_rows")
    return "" if rows is None else f" of {rows}"


def _columns(one: Mapping[str, Any]) -> RenderableType:
    table = _table("COLUMN", "AGREE", "NOISE", *(q.upper() for q in _QUANTILES), "SHADOW LESS PRIMARY")
    for name, column in one["columns"].items():
        cells = [name, _percent(column["agreement"]), _percent(column["noise_agreement"])]
        if column["kind"] == "number":
            difference, bars = column["difference"], column["histogram"]
            cells += [_number(difference[q]) for q in _QUANTILES]
            ends = f"{_number(bars[0][0])} |{plot(bars)}| {_number(bars[-1][0])}" if len(bars) > 1 else "no spread"
            cells.append(ends)
        else:
            cells += ["" for _ in _QUANTILES]
            cells.append("")
        table.add_row(*map(Text, cells))
    for name, why in one["unmatched"].items():
        table.add_row(Text(name), Text("-"), Text("-"), *(Text("") for _ in _QUANTILES), Text(why))
    return table


def _flips(one: Mapping[str, Any]) -> Iterator[RenderableType]:
    for name, column in one["columns"].items():
        if not column.get("flips"):
            continue
        table = _table(f"FLIPS OF {name}", "ROWS", "")
        most = column["flips"][0]["rows"]
        for flip in column["flips"][:_FLIPS]:
            bar = "█" * max(1, round(20 * flip["rows"] / most))
            table.add_row(Text(f"{flip['primary']} → {flip['shadow']}"), Text(str(flip["rows"])), Text(bar))
        rest = sum(flip["rows"] for flip in column["flips"][_FLIPS:]) + column["more_flips"]
        if rest:
            table.add_row(Text("others"), Text(str(rest)), Text(""))
        yield table


def _latency(one: Mapping[str, Any]) -> RenderableType:
    table = _table("MILLISECONDS", "P50", "P90", "P99", "ERRORS")
    latency, errors = one["latency_ms"], one["errors"]
    failed = {"primary": errors["only_primary"], "shadow": errors["only_shadow"], "slower": errors["both"]}
    words = {"primary": "only the primary", "shadow": "only the shadow", "slower": "both"}
    for who, quantiles in latency.items():
        cells = [who, *(_number(quantiles[q]) for q in ("p50", "p90", "p99")), f"{failed[who]} {words[who]}"]
        table.add_row(*map(Text, cells))
    return table


def _worst(one: Mapping[str, Any]) -> Iterator[RenderableType]:
    rows = one["worst"][:_WORST]
    if not rows:
        return
    has_inputs = any(row["inputs"] for row in rows)
    table = _table("WORST ROWS OF REQUEST", "PRIMARY", "SHADOW", *(("INPUTS",) if has_inputs else ()))
    for row in rows:
        cells = [f"{row['request_id']} #{row['row']}", _values(row["primary"]), _values(row["shadow"])]
        if has_inputs:
            cells.append(_values(row["inputs"] or {}))
        table.add_row(*map(Text, cells))
    yield table


def _counts(shadow: Mapping[str, Any]) -> str:
    parts = [f"{shadow['deployment']}: {shadow['percent']} % drawn, {shadow['mirrored']} sent"]
    for word in ("dropped", "failed"):
        if shadow[word]:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(shadow[word].items()))
            parts.append(f"{word}: {reasons}")
    return "; ".join(parts)


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title)
    return table


def _percent(share: float | None) -> str:
    if share is None:
        return "-"
    text = f"{share * 100:.2f} %"
    return text if share == 1 or text != "100.00 %" else "> 99.99 %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _values(values: Mapping[str, Any]) -> str:
    return "  ".join(
        f"{name}={_number(value) if isinstance(value, float) else value}" for name, value in values.items()
    )


def _ask(options: CompareOptions) -> tuple[int, bytes]:
    try:
        key = options.key_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--key-file {options.key_file}", f"cannot be read: {error}") from error
    connection = http.client.HTTPConnection("127.0.0.1", options.admin_port, timeout=_TIMEOUT)
    try:
        path = f"/endpoints/{quote(options.endpoint, safe='')}/comparison"
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        response = connection.getresponse()
        return response.status, response.read()
    except OSError as error:
        raise ConfigError(f"--admin-port {options.admin_port}", f"no answer: {error.strerror or error}") from error
    finally:
        connection.close()


def _reason(status: int, body: bytes) -> str:
    try:
        return f"HTTP {status}: {json.loads(body)['error']['message']}"
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}: {body[:200].decode(errors='replace')}"

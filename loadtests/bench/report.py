"""What a run found, as JSON to keep and as Markdown tables for docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

import msgspec

from loadtests.bench.beside_triton import TRITON_GROUPS
from loadtests.bench.closed_loop import Measurement
from loadtests.bench.connections import Held
from loadtests.bench.idle import Added
from loadtests.bench.overload import Overload
from loadtests.bench.ratios import Ratio
from loadtests.bench.reload_found import Reloaded
from loadtests.bench.shadow import Shadowed
from loadtests.bench.target import ON_ONE

__all__ = ["Report", "replaced", "tables"]

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"

NAMES = {"rest": "REST, ONNX", "grpc": "gRPC, ONNX", "lm": "REST, R lm", "random-forest": "REST, R forest"}
NAMES |= TRITON_GROUPS | {ON_ONE: "gRPC, ONNX, one connection"}

BUSY = 0.1
"""Share of a core used by others from which a row is marked."""

TOO_BUSY = 0.3
"""Share from which the median run says more about the others than about the servers."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the bench."""

    started: str
    took_seconds: float
    options: Mapping[str, object]
    machine: Mapping[str, object]
    ratios: Sequence[Ratio]
    medians: Sequence[Measurement]
    idle: Sequence[Added]
    overload: Overload | None
    runs: Sequence[Measurement]
    connections: Sequence[Held] = ()
    features: Mapping[str, float] = {}
    """CPU µs a row, by what was read and how."""
    shadow: Sequence[Shadowed] = ()
    reload: Reloaded | None = None

    @property
    def is_disturbed(self) -> bool:
        """Whether other work on the same cores makes these figures worthless."""
        shares = [run.foreign for run in self.runs]
        shares += [step.foreign for step in self.overload.steps] if self.overload else []
        shares += [one.foreign for one in self.shadow]
        shares += [self.reload.foreign] if self.reload else []
        return bool(shares) and median(shares) >= TOO_BUSY

    def write(self, path: Path) -> None:
        """As indented JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def replaced(page: str, generated: str) -> str:
    """``page`` with ``generated`` between its two markers. Raises ``ValueError`` when it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected {BEGIN} and {END} in the page")
    return f"{before}{BEGIN}\n{generated}\n{END}{after}"


def tables(report: Report) -> str:
    """The promises, the closed-loop runs, the idle figures and the overload run."""
    machine = report.machine
    taken = (
        f"Taken {report.started[:10]} on {machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"Python {machine['python']}, {machine['r']}; medians of {report.options['repeats']} turns of "
        f"{report.options['seconds']} s."
    )
    lines = [
        taken,
        "",
        *_table(
            ("what", "measured", "goal", "met"),
            [(r.name, _short(r.value), _goal(r), _met(r)) for r in report.ratios],
        ),
    ]
    if report.medians:
        lines += ["", "### Closed loop", "", *_closed_loop(report.medians)]
    if report.idle:
        lines += ["", "### One request at a time", "", *_idle(report.idle)]
    if report.features:
        rows = [(name, _short(cost)) for name, cost in report.features.items()]
        lines += ["", "### Features", "", *_table(("ten numbers a row, 32 rows a turn", "CPU µs a row"), rows)]
    if report.overload is not None:
        lines += ["", "### Overload", "", *_overload(report.overload)]
    if report.shadow:
        lines += ["", "### A shadow of everything", "", *_shadow(report.shadow)]
    if report.reload is not None:
        lines += ["", "### Changes under load", "", *_reload(report.reload)]
    return "\n".join(lines)


def _closed_loop(medians: Sequence[Measurement]) -> list[str]:
    head = (
        "wire, model",
        "server",
        "connections",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "CPU µs a request",
        "resident MB",
        "errors",
        "other work",
    )
    rows = [
        (
            NAMES.get(m.group, m.group),
            m.server,
            str(m.connections),
            f"{m.rate:,.0f}",
            f"{m.p50_ms:.2f}",
            f"{m.p99_ms:.2f}",
            _by_role(m.cpu_us),
            _by_role(m.resident_mb),
            f"**{m.errors}**" if m.errors else "0",
            _other_work(m.foreign),
        )
        for m in medians
    ]
    return _table(head, rows)


def _idle(idle: Sequence[Added]) -> list[str]:
    rows = [
        (a.wire, a.server, f"{a.seen_p50_ms:.3f}", f"{a.added_p50_ms:.3f}", f"{a.added_p99_ms:.3f}", f"{a.requests:,}")
        for a in idle
    ]
    return _table(("wire", "server", "seen p50 ms", "added p50 ms", "added p99 ms", "requests"), rows)


def _overload(overload: Overload) -> list[str]:
    head = (
        "offered / capacity",
        "offered/s",
        "goodput/s",
        "refused/s",
        "timed out/s",
        "admitted p50 ms",
        "admitted p99 ms",
        "refused p99 ms",
        "generator late p99 ms",
        "errors",
        "other work",
    )
    rows = [
        (
            f"{s.factor:g}",
            f"{s.offered:,.0f}",
            f"{s.goodput:,.0f}",
            f"{s.refused:,.0f}",
            f"{s.timed_out:,.1f}",
            f"{s.admitted_p50_ms:.1f}",
            f"{s.admitted_p99_ms:.1f}",
            f"{s.refused_p99_ms:.1f}" if s.refused_p99_ms == s.refused_p99_ms else "–",  # NaN: none
            f"{s.lag_p99_ms:.1f}",
            f"**{s.errors}**" if s.errors else "0",
            _other_work(s.foreign),
        )
        for s in overload.steps
    ]
    capacity = f"Capacity {overload.capacity:,.0f} requests/s, deadline {overload.deadline_ms} ms."
    return [capacity, "", *_table(head, rows)]


def _shadow(shadow: Sequence[Shadowed]) -> list[str]:
    head = (
        "wire",
        "requests/s",
        "mirrored",
        "p50 ms without",
        "with",
        "p99 ms without",
        "with",
        "p99 ratio, 95 % of draws",
        "requests",
        "failed",
        "generator late p99 ms",
        "more, stolen",
        "other work",
    )
    rows = [
        (
            s.wire,
            f"{s.rate:g}",
            f"{s.mirrored:.0%}",
            f"{s.p50.without:.2f}",
            f"{s.p50.with_:.2f}",
            f"{s.p99.without:.2f}",
            f"{s.p99.with_:.2f}",
            f"{s.p99.low:.2f} – {s.p99.high:.2f}",
            f"{s.requests:,}",
            f"**{s.failed}**" if s.failed else "0",
            f"{s.lag_p99_ms:.1f}",
            f"{s.stolen:.0%}",
            _other_work(s.foreign),
        )
        for s in shadow
    ]
    return _table(head, rows)


def _reload(reload: Reloaded) -> list[str]:
    told = ", ".join(f"{how} {count} times" for how, count in reload.failures.items()) or "none failed"
    changes = [
        (c.kind, str(c.count), f"{c.p50_s:.2f}", f"{c.max_s:.2f}", f"{c.settled_max_s:.2f}", str(c.failed))
        for c in reload.changes
    ]
    disturbed = [
        (
            d.endpoint,
            f"{d.p50.without:.2f}",
            f"{d.p50.with_:.2f}",
            f"{d.p99.without:.2f}",
            f"{d.p99.with_:.2f}",
            f"{d.p99.low:.2f} – {d.p99.high:.2f}",
            f"{d.requests:,}",
            f"{d.stolen:.0%}",
            f"{d.p99_with_stolen.value:.2f} ({d.p99_with_stolen.low:.2f} – {d.p99_with_stolen.high:.2f})",
        )
        for d in reload.disturbed
    ]
    return [
        (
            f"{reload.requests:,} requests in all: {told}. Generator late p99 {reload.lag_p99_ms:.1f} ms, "
            f"other work {_other_work(reload.foreign)}."
        ),
        "",
        *_table(("change", "times", "running p50 s", "max s", "old ones gone, max s", "failed"), changes),
        "",
        f"Another model loaded {reload.loads} times, p50 {reload.load_p50_s:.1f} s:",
        "",
        *_table(
            (
                "endpoint",
                "p50 ms without",
                "while it loads",
                "p99 ms without",
                "while it loads",
                "p99 ratio, 95 % of draws",
                "requests",
                "more, stolen",
                "p99 ratio with those",
            ),
            disturbed,
        ),
    ]


def _goal(ratio: Ratio) -> str:
    return "–" if ratio.goal is None else f"{'≥' if ratio.at_least else '≤'} {ratio.goal:g}"


def _met(ratio: Ratio) -> str:
    return {True: "yes", False: "**no**", None: "–"}[ratio.is_met]


def _by_role(values: Mapping[str, float]) -> str:
    """Server processes by role; the supervisor is left out where it does nothing."""
    shown = {role: value for role, value in values.items() if role == "gateway" or value >= 0.5}
    return ", ".join(_short(value) if len(shown) == 1 else f"{role} {_short(value)}" for role, value in shown.items())


def _other_work(share: float) -> str:
    return f"{share:.0%}" if share >= BUSY else "–"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]

"""``lockgate status``: which version runs, how every deployment does, and every process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gateway.commands.history import when
from gateway.commands.outcome import Changer, refused, show_json

__all__ = ["rendered", "status"]

_PARTS = ("status", "endpoints", "workers")


def status(changer: Changer) -> int:
    """Print it; 1 while something was refused or cannot go on, or a deployment with traffic cannot serve."""
    found: dict[str, Any] = {}
    for part in _PARTS:
        reply = changer.client.ask("GET", f"/{part}")
        if reply.status == 503 and part != "status":  # the source is gone; what runs is told all the same
            found[part] = []
            continue
        if reply.status != 200:
            return refused(reply, is_json=changer.is_json)
        found[part] = reply.json
    if changer.is_json:
        show_json(found)
    else:
        for each in rendered(found["status"], found["endpoints"], found["workers"]):
            changer.console.print(each, soft_wrap=isinstance(each, Text))
    told = found["status"]
    has_problem = told["problem"] or told["progress"]["problem"]
    return 1 if has_problem or _refusal(told) or not told["ready"] else 0


def rendered(
    told: Mapping[str, Any], endpoints: Sequence[Mapping[str, Any]], workers: Sequence[Mapping[str, Any]]
) -> Iterator[RenderableType]:
    """Part by part."""
    yield from _versions(told)
    table = _table("ENDPOINT", "DEPLOYMENT", "TRAFFIC", "MIRROR", "STATE", "MODEL")
    for endpoint in endpoints:
        for name, each in endpoint["deployments"].items():
            state = "ready" if each["ready"] else each["reason"]
            mirror = f"{each['mirror']} %" if each["mirror"] else ""
            cells = [endpoint["name"], name, f"{each['weight']} %", mirror, state, each["model"]]
            table.add_row(*map(Text, cells))
    if endpoints:
        yield Text("")
        yield table
    table = _table("PROCESS", "PHASE", "PID", "WORKERS", "RESTARTS", "")
    for each in workers:
        ready = f"{each['ready']} of {each['workers']}" if each["workers"] else ""
        pid = "" if each["pid"] is None else str(each["pid"])
        cells = [each["name"], each["phase"], pid, ready, str(each["restarts"]), each["reason"]]
        table.add_row(*map(Text, cells))
    yield Text("")
    yield table


def _versions(told: Mapping[str, Any]) -> Iterator[Text]:
    progress, newest = told["progress"], told["newest"]
    running = progress["running"]
    behind = [index for index, version in progress["gateways"].items() if version != running]
    where = f"by all gateways but {', '.join(behind)}" if behind else "everywhere"
    line = Text(f"version {running} runs {where}", style="bold")
    if newest and newest["version"] == running:
        what = f": {newest['what']}" if newest["what"] else ""
        line.append(f"  {when(newest['at'])} by {newest['by']}{what}", style="default")
    yield line
    refusal = _refusal(told)
    if progress["wanted"] > max(running, refusal["version"] if refusal else 0):
        yield Text(f"version {progress['wanted']} is on its way: {progress['phase']}")
    elif progress["phase"] != "settled":
        yield Text(f"{progress['phase']}")
    if refusal:
        yield Text(f"version {refusal['version']} was refused: {refusal['reason']}", style="bold red")
    if told["problem"]:
        yield Text(told["problem"], style="red")
    if progress["problem"] not in told["problem"]:  # what is empty is in every text
        yield Text(f"cannot go on at the moment: {progress['problem']}", style="red")
    if progress["needs_restart"]:
        yield Text(f"changed, and read at the start only: {', '.join(progress['needs_restart'])}", style="yellow")
    if told["read_only"]:
        yield Text(f"read only: {told['read_only']}", style="dim")


def _refusal(told: Mapping[str, Any]) -> Mapping[str, Any] | None:
    refusal: Mapping[str, Any] | None = told["progress"]["refused"]
    return refusal


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title)
    return table

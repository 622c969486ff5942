"""
``lockgate traffic`` and ``lockgate mirror``: the percentages of an endpoint, shown or set while it serves.

The weights that are given are complete, so a deployment that is not named gets nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from rich.table import Table
from rich.text import Text

from gateway.commands.admin_client import path_of
from gateway.commands.outcome import Changer, refused, show_json
from gateway.core.errors import ConfigError

__all__ = ["percents", "set_percents", "show_percents"]

What = Literal["traffic", "mirror"]


def show_percents(what: What, endpoint: str, changer: Changer) -> int:
    """Print them."""
    reply = changer.client.ask("GET", path_of("endpoints", endpoint, what))
    if reply.status != 200:
        return refused(reply, is_json=changer.is_json)
    if changer.is_json:
        show_json(reply.json)
        return 0
    table = Table(box=None, pad_edge=False)
    for title in ("DEPLOYMENT", what.upper()):
        table.add_column(title)
    for name, percent in reply.json.items():
        table.add_row(Text(name), Text(f"{percent} %"))
    changer.console.print(table if reply.json else Text(f"{endpoint} has no shadows"))
    return 0


def set_percents(what: What, endpoint: str, wanted: Mapping[str, int], changer: Changer) -> int:
    """Set them, and wait."""
    return changer.change("PUT", path_of("endpoints", endpoint, what), wanted)


def percents(words: Sequence[str]) -> dict[str, int]:
    """Of words such as ``blue=80``. Raises ``ConfigError``."""
    found: dict[str, int] = {}
    for word in words:
        match = re.fullmatch(r"([^=]+)=(\d{1,3})%?", word)
        if not match:
            raise ConfigError(word[:80], "expected a deployment and whole percent, such as blue=80")
        if match[1] in found:
            raise ConfigError(word[:80], f"{match[1]} is given twice")
        found[match[1]] = int(match[2])
    return found

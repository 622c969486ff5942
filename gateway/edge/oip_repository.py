"""What both wires of the Open Inference Protocol's model repository have in common."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.core.errors import NotSupported

__all__ = ["refuse_load_parameters"]


def refuse_load_parameters(names: Iterable[str]) -> None:
    """
    A model and its configuration are not sent along: a load takes the files that are there.

    Raises ``NotSupported``, so that nobody believes that what they sent is served.
    """
    if refused := sorted(name for name in names if name == "config" or name.startswith("file:")):
        raise NotSupported(f'parameter "{refused[0][:64]}": a load takes the model from where it is declared')

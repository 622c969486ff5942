"""MurmurHash3, 32 bits, as Feast names its hash fields with; computed once per feature, so plain Python will do."""

from __future__ import annotations

__all__ = ["murmur3_32"]

_MASK = 0xFFFFFFFF


def murmur3_32(data: bytes) -> int:
    """Unsigned, seed 0 (Austin Appleby's MurmurHash3_x86_32)."""
    state = 0
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        state ^= _mixed(int.from_bytes(data[at : at + 4], "little"))
        state = (_rotated(state, 13) * 5 + 0xE6546B64) & _MASK
    if rest := data[whole:]:
        state ^= _mixed(int.from_bytes(rest, "little"))
    state ^= len(data)
    state = ((state ^ state >> 16) * 0x85EBCA6B) & _MASK
    state = ((state ^ state >> 13) * 0xC2B2AE35) & _MASK
    return state ^ state >> 16


def _mixed(block: int) -> int:
    return (_rotated((block * 0xCC9E2D51) & _MASK, 15) * 0x1B873593) & _MASK


def _rotated(value: int, by: int) -> int:
    return (value << by | value >> (32 - by)) & _MASK

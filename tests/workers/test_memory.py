"""The memory limit of a worker."""

from __future__ import annotations

from pathlib import Path

from workers.memory import MemoryLimit, resident_mb


def test_resident_memory_is_read_from_statm(tmp_path: Path) -> None:
    (tmp_path / "statm").write_text("9999 512 3 4 5 6 7\n")

    assert resident_mb(tmp_path / "statm") == 2.0


def test_it_is_looked_up_once_a_second_at_most() -> None:
    now, looks = [0.0], [0]

    def read() -> float:
        looks[0] += 1
        return 11.0

    limit = MemoryLimit(10, lambda: now[0], read)
    passed = []
    for now[0] in (5.0, 5.5, 5.999, 6.0):
        passed.append(limit.is_passed())

    assert passed == [True, False, False, True]
    assert looks == [2]


def test_without_a_limit_nothing_is_looked_up() -> None:
    def read() -> float:
        raise AssertionError("looked")

    assert not MemoryLimit(0, lambda: 5.0, read).is_passed()


def test_exactly_the_limit_is_allowed() -> None:
    assert not MemoryLimit(10, lambda: 5.0, lambda: 10.0).is_passed()

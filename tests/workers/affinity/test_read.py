from __future__ import annotations

from pathlib import Path

import pytest

from workers.affinity import Available, parse_cpu_list, read_available


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def read(root: Path, membership: str, mask: set[int]) -> Available:
    (root / "self-cgroup").write_text(membership)
    return read_available(lambda: mask, root, root / "self-cgroup")


@pytest.mark.parametrize(
    ("text", "cores"), [("0", [0]), ("0-3\n", [0, 1, 2, 3]), ("0-1,5,7-8", [0, 1, 5, 7, 8]), ("", [])]
)
def test_the_kernels_list_format_is_read(text: str, cores: list[int]) -> None:
    assert parse_cpu_list(text) == cores


def test_without_cgroups_the_affinity_mask_decides(tmp_path: Path) -> None:
    found = read_available(lambda: {3, 1}, tmp_path, tmp_path / "none")

    assert found == Available(cores=(1, 3), count=2)


def test_a_version_2_quota_of_one_and_a_half_cores_counts_as_two(tmp_path: Path) -> None:
    tree(tmp_path, {"cpu.max": "150000 100000"})

    assert read(tmp_path, "0::/\n", set(range(8))) == Available(cores=tuple(range(8)), count=2)


def test_a_version_2_quota_of_max_is_no_quota(tmp_path: Path) -> None:
    tree(tmp_path, {"cpu.max": "max 100000"})

    assert read(tmp_path, "0::/\n", {0, 1}).count == 2


def test_the_tightest_quota_on_the_way_up_holds(tmp_path: Path) -> None:
    tree(tmp_path, {"pods/cpu.max": "100000 100000", "pods/one/cpu.max": "400000 100000"})

    assert read(tmp_path, "0::/pods/one\n", set(range(8))).count == 1


def test_a_tiny_quota_still_leaves_one_core(tmp_path: Path) -> None:
    tree(tmp_path, {"cpu.max": "1000 100000"})

    assert read(tmp_path, "0::/\n", {0, 1}).count == 1


def test_a_version_2_cpuset_narrows_the_mask(tmp_path: Path) -> None:
    tree(tmp_path, {"pod/cpuset.cpus.effective": "2-3\n"})

    assert read(tmp_path, "0::/pod\n", {0, 1, 2, 3}) == Available(cores=(2, 3), count=2)


def test_a_version_1_quota_and_cpuset_are_read_from_their_own_hierarchies(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "cpu,cpuacct/box/cpu.cfs_quota_us": "200000",
            "cpu,cpuacct/box/cpu.cfs_period_us": "100000",
            "cpuset/box/cpuset.cpus": "1,2,4",
        },
    )

    found = read(tmp_path, "4:cpu,cpuacct:/box\n2:cpuset:/box\n0::/\n", set(range(8)))

    assert found == Available(cores=(1, 2, 4), count=2)


def test_a_version_1_quota_of_minus_one_is_no_quota(tmp_path: Path) -> None:
    tree(tmp_path, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"})

    assert read(tmp_path, "4:cpu,cpuacct:/\n", {0, 1, 2}).count == 3


def test_a_path_outside_of_the_container_falls_back_to_the_mounted_root(tmp_path: Path) -> None:
    tree(tmp_path, {"cpu.max": "100000 100000"})

    assert read(tmp_path, "0::/../../elsewhere\n", {0, 1, 2}).count == 1


def test_this_machine_can_be_read() -> None:
    found = read_available()

    assert 1 <= found.count <= len(found.cores)

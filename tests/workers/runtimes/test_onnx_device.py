"""Which provider a session asks for, and what it got."""

from __future__ import annotations

import pytest

from workers.runtimes.base import LoadError
from workers.runtimes.onnx_device import check_device, choose_providers

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
GPU_BUILD = [TENSORRT, CUDA, CPU]


@pytest.mark.parametrize(
    ("device", "available", "expected"),
    [
        ("auto", [CPU], [(CPU, {"a": 1})]),
        ("auto", GPU_BUILD, [(CUDA, {"device_id": 0, "a": 1}), (CPU, {})]),
        ("cpu", GPU_BUILD, [(CPU, {"a": 1})]),
        ("cuda:2", GPU_BUILD, [(CUDA, {"device_id": 2, "a": 1}), (CPU, {})]),
        (
            "tensorrt:1",
            GPU_BUILD,
            [(TENSORRT, {"device_id": 1, "a": 1}), (CUDA, {"device_id": 1}), (CPU, {})],
        ),
    ],
)
def test_the_wanted_provider_comes_first_with_its_options(
    device: str, available: list[str], expected: list[object]
) -> None:
    assert choose_providers(device, {"a": 1}, available) == expected


@pytest.mark.parametrize("device", ["gpu", "cuda", "cuda:x", "cpu:0", "CUDA:0", ""])
def test_a_device_that_does_not_exist_is_refused(device: str) -> None:
    with pytest.raises(LoadError, match="expected auto, cpu, cuda:N or tensorrt:N"):
        choose_providers(device, {}, GPU_BUILD)


def test_a_device_that_this_build_does_not_know_is_refused() -> None:
    with pytest.raises(LoadError, match="cuda:0 was demanded, but the installed ONNX Runtime has no CUDA"):
        choose_providers("cuda:0", {}, [CPU])


def test_a_demanded_gpu_that_the_session_did_not_get_is_refused() -> None:
    providers = choose_providers("cuda:0", {}, GPU_BUILD)

    with pytest.raises(LoadError, match=f"cuda:0 was demanded, but the session runs on {CPU}"):
        check_device("cuda:0", providers, [CPU])


def test_auto_takes_the_cpu_when_there_is_no_gpu_after_all() -> None:
    assert check_device("auto", choose_providers("auto", {}, GPU_BUILD), [CPU]) == "cpu"


@pytest.mark.parametrize(
    ("device", "obtained", "expected"),
    [
        ("auto", [CUDA, CPU], "cuda:0"),
        ("cuda:3", [CUDA, CPU], "cuda:3"),
        ("tensorrt:1", [TENSORRT, CUDA, CPU], "tensorrt:1"),
        ("cpu", [CPU], "cpu"),
    ],
)
def test_the_device_is_told_as_it_was_obtained(device: str, obtained: list[str], expected: str) -> None:
    assert check_device(device, choose_providers(device, {}, GPU_BUILD), obtained) == expected


def test_tensorrt_that_fell_back_to_cuda_is_refused() -> None:
    with pytest.raises(LoadError, match="tensorrt:0 was demanded"):
        check_device("tensorrt:0", choose_providers("tensorrt:0", {}, GPU_BUILD), [CUDA, CPU])

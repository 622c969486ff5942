"""Two ONNX Runtime wheels at once."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata

import pytest

from workers.runtimes.base import LoadError
from workers.runtimes.onnx_wheels import check_wheels, installed_wheels


def versions(**installed: str) -> Callable[[str], str]:
    def version(name: str) -> str:
        try:
            return installed[name.replace("-", "_")]
        except KeyError:
            raise metadata.PackageNotFoundError(name) from None

    return version


@pytest.mark.parametrize("installed", [{"onnxruntime": "1.31.1"}, {"onnxruntime_gpu": "1.31.1"}])
def test_one_wheel_is_fine(installed: dict[str, str]) -> None:
    check_wheels(versions(**installed))

    assert len(installed_wheels(versions(**installed))) == 1


def test_both_at_once_are_refused_with_their_versions() -> None:
    with pytest.raises(LoadError, match=r"onnxruntime 1\.30 and onnxruntime-gpu 1\.31 are both installed"):
        check_wheels(versions(onnxruntime="1.30", onnxruntime_gpu="1.31"))


def test_none_at_all_is_refused() -> None:
    with pytest.raises(LoadError, match="not installed"):
        check_wheels(versions())

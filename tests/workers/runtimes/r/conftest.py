"""Models of every class, trained once by plain R."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.r_process import train


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    train(folder)
    return folder

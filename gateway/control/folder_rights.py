"""Why the files of a served folder cannot be changed through the API, as far as that can be told without trying."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gateway.control.served_folder import yaml_paths

__all__ = ["why_read_only"]


def why_read_only(folders: Sequence[Path], *, is_set: bool) -> str:
    """Empty where they can; that of the endpoints comes first. ``is_set``: the settings say that they cannot."""
    files = [file for folder in folders for file in yaml_paths(folder)]
    if is_set:
        return "control.read_only is set in lockgate.yaml: change the files where they come from"
    if not folders[0].is_dir():
        return "a single model is served: there are no files to change"
    if any(os.path.islink(path) for path in files) or any((folder / "..data").exists() for folder in folders):  # noqa: PTH114
        return "the files are links, as of a mounted ConfigMap: change them where they come from"
    if any(not os.access(path, os.W_OK) and Path(path).exists() for path in (*map(str, folders), *files)):
        return "the files cannot be written here"
    return ""

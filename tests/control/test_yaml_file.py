"""Whatever stands in a file that somebody edits is read or told, and ends nothing else."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import read_folder
from gateway.control import yaml_file
from gateway.control.document import Document
from gateway.control.yaml_file import KnownYaml, YamlFile, open_yaml
from gateway.core.errors import ConfigError
from tests.support.control_folder import OTHER, PRICE, make_folder


@pytest.fixture(scope="module")
def file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield make_folder(Path(folder) / "served") / "endpoints" / "price.yaml"


def read(file: Path) -> Document | ConfigError:
    try:
        return read_folder(file.parent.parent)
    except ConfigError as error:
        return error


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: price\ndeployments: {a: {model: {{ x }}}}", "line 2: expected text for a key"),
        ("name: price\n? [a, b]\n: 1", "line 2: expected text for a key"),
        ("name: price\ndescription: 2024-13-45", "line 2: expected YAML: month must be in"),
        ("name: price\ndescription: 0b_", "line 2: expected YAML: invalid literal for int"),
        ("name: price\ndescription: !!timestamp soon", "line 2: expected YAML"),
        ("name: price\ndescription: !!bool perhaps", "line 2: expected YAML"),
        ('name: price\ndescription: "\\uD800"', "line 2: expected Unicode text"),
        ('name: price\ndescription: "\\UFFFFFFFF"', "price.yaml: expected YAML"),
        ("name: price\ndescription: &a [*a]", "line 2: expected at most"),
        ("name: price\ndescription: " + 60 * "[" + 60 * "]", "line 2: expected at most"),
        ("name: price\ndescription: " + 5000 * "[", "price.yaml: expected YAML"),
        (
            "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 20)),
            "at most",
        ),
        ("#" + (1 << 20) * " ", "expected at most 1048576 bytes"),
        (PRICE.replace("../models/blue.onnx", '"../\\0"'), "line 6: deployments.blue.model: embedded null"),
        (PRICE.replace("carat:", "1:"), "line 7: deployments.blue.features: expected text"),
    ],
    ids=lambda text: text[12:40],
)
def test_what_yaml_cannot_mean_is_told_with_its_place(file: Path, text: str, told: str) -> None:
    file.write_text(text)
    error = read(file)

    assert isinstance(error, ConfigError)
    assert told in str(error)
    assert str(file) in str(error)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_not_waited_for(file: Path, kind: str) -> None:
    file.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    error = read(file)
    file.unlink()

    assert str(error) == f"{file}: cannot be read: it is not a file"


def test_a_model_that_is_a_link_to_itself_is_one_that_is_not_there(file: Path) -> None:
    loop = file.parent.parent / "models" / "loop"
    loop.symlink_to("loop")
    file.write_text(PRICE.replace("../models/green", "../models/loop"))
    document = read(file)

    assert isinstance(document, Document)
    assert str(loop) not in document.models


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_document_or_are_told(file: Path, data: bytes) -> None:
    file.write_bytes(data)

    assert isinstance(read(file), (Document, ConfigError))


_SIGNS = ["\n", "\n  ", "\n- ", ": ", "? ", "{", "}", "[", "]", ", ", "&a ", "*a", "<<: ", "| ", '"', "'", "# ", "--- "]
_WORDS = [
    "!!set",
    "!!int",
    "!!binary",
    "!!omap",
    "!!timestamp",
    "!!float",
    "2024-13-45",
    "0b_",
    "1:99",
    ".inf",
    "1e999",
]
_NAMES = [
    "name",
    "price",
    "traffic",
    "deployments",
    "blue",
    "model",
    "compare",
    "features",
    "shadows",
    "workers",
    "true",
]
_PIECES = st.one_of(
    st.sampled_from([*_SIGNS, *(f"{word} " for word in _WORDS + _NAMES), "\\0", "9" * 5000]), st.text(max_size=3)
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES, max_size=20), st.integers(0, len(PRICE)), st.integers(0, 30))
def test_any_text_like_yaml_is_a_document_or_is_told(file: Path, pieces: list[str], at: int, length: int) -> None:
    file.write_text(PRICE[:at] + "".join(pieces) + PRICE[at + length :], encoding="utf-8", errors="surrogatepass")

    assert isinstance(read(file), (Document, ConfigError))


def test_the_other_file_of_these_tests_is_in_order(file: Path) -> None:
    file.write_text(PRICE)

    assert file.with_name("tumor.yaml").read_text() == OTHER
    assert isinstance(read(file), Document)


def opened(open_file: Callable[[Path], YamlFile], file: Path) -> str:
    """Told as text, where True is not 1."""
    try:
        return repr(open_file(file).data)
    except ConfigError as error:
        return str(error)


@given(st.lists(st.sampled_from([PRICE, OTHER, "a: 1", "a: true", "a: 1.0", "a: [", "a: {{ x }}", ""]), max_size=8))
def test_a_file_that_is_known_says_what_it_would_if_it_were_not(file: Path, texts: list[str]) -> None:
    known, found = KnownYaml(), []
    for text in texts:
        file.write_text(text)
        found.append((opened(known.open, file), opened(open_yaml, file)))

    assert [with_memory for with_memory, _ in found] == [without for _, without in found]


def test_a_text_is_understood_once_and_the_file_is_read_each_time(file: Path) -> None:
    known, pauses = KnownYaml(), list[None]()
    file.write_text(PRICE)
    first = known.open(file)
    again = KnownYaml(lambda: pauses.append(None)).open(file), known.open(file)
    file.write_text(OTHER)

    assert again[1] is first
    assert again[0] is not first
    assert known.open(file) is not first
    assert pauses == [None]


def test_what_is_known_of_files_has_a_bound(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_file, "_OWN", 10)
    monkeypatch.setattr(yaml_file, "_REMEMBERED", len(PRICE) + len(OTHER) + 19)
    known, other = KnownYaml(), file.with_name("tumor.yaml")
    file.write_text(PRICE)
    first, again = known.open(file), [known.open(file) for _ in range(3)]
    known.open(other)

    assert all(each is first for each in again)
    assert known.open(file) is not first


def test_what_is_known_of_empty_files_has_a_bound_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_file, "_REMEMBERED", 10 * yaml_file._OWN)
    known, found = KnownYaml(), []
    for number in range(11):
        file = tmp_path / f"{number}.yaml"
        file.touch()
        found.append(known.open(file))

    assert known.open(tmp_path / "10.yaml") is found[10]
    assert known.open(tmp_path / "0.yaml") is not found[0]


def test_two_threads_may_open_the_same_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(PRICE)
    known, both = KnownYaml(), threading.Barrier(2, timeout=10)
    understand = yaml_file.parse_yaml

    def together(path: Path, text: str) -> YamlFile:
        both.wait()
        return understand(path, text)

    monkeypatch.setattr(yaml_file, "parse_yaml", together)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(known.open, [file, file]))
    monkeypatch.setattr(yaml_file, "parse_yaml", understand)
    monkeypatch.setattr(yaml_file, "_REMEMBERED", len(PRICE) + yaml_file._OWN)

    assert known.open(file) is known.open(file)


def test_what_overrides_something_merged_is_told_with_its_own_line(file: Path) -> None:
    file.write_text(
        "name: price\ndeployments:\n  blue: &blue\n    model: ../models/blue.onnx\n    max_rows: 8\n"
        "  green:\n    <<: *blue\n    max_rows: many\n"
    )

    assert "line 8: deployments.green.max_rows" in str(read(file))

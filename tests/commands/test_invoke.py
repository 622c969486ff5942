from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.invoke import route_for
from gateway.commands.invoke_grpc import columns_of, example_of, records_of, tensor_of
from gateway.core.errors import ConfigError
from gateway.wire.v1 import grpc_service_pb2 as wire


@pytest.mark.parametrize(
    ("name", "body", "path"),
    [
        ("a.csv", "x\n1\n", "/api/v1/endpoint/price/invocations"),
        ("a.json", {"input_data": []}, "/api/v1/endpoint/price/score"),
        ("a.json", [{"x": 1}], "/api/v1/endpoint/price/score"),
        ("a.json", {"dataframe_split": {}}, "/api/v1/endpoint/price/invocations"),
        ("a.json", {"inputs": {"x": [1]}}, "/api/v1/endpoint/price/invocations"),
        ("a.json", {"inputs": [{"name": "x", "datatype": "FP32"}]}, "/v2/models/price/versions/blue/infer"),
    ],
)
def test_a_file_goes_to_the_route_that_reads_its_form(name: str, body: Any, path: str) -> None:
    text = body if isinstance(body, str) else json.dumps(body)

    assert route_for(Path(name), text.encode(), "price", "blue")[0] == path


def test_a_file_that_is_neither_json_nor_csv_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"rows\.txt: expected JSON"):
        route_for(Path("rows.txt"), b"x,y", "price", None)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "b,a\n2,1\n4,3\n"),
        ("a.json", '[{"a": 1, "b": 2}, {"a": 3, "b": 4}]'),
        ("a.json", '{"input_data": {"columns": ["b", "a"], "data": [[2, 1], [4, 3]]}}'),
        ("a.json", '{"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}}'),
        ("a.json", "[[1, 2], [3, 4]]"),
        ("a.json", '{"a": [1, 3], "b": [2, 4]}'),
    ],
)
def test_every_form_of_a_file_gives_the_same_tensors(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    columns = columns_of(tmp_path / name, ["a", "b"])

    assert {key: tensor_of("INT32", values) for key, values in columns.items()} == {
        "a": ([2], struct.pack("<2i", 1, 3)),
        "b": ([2], struct.pack("<2i", 2, 4)),
    }


def test_the_example_that_a_model_tells_is_one_row() -> None:
    answer = wire.ModelConfigResponse()
    answer.config.parameters["example"].string_value = '[{"a": 1, "size": [1.5, 2]}]'

    assert example_of(answer) == {"a": [1], "size": [[1.5, 2]]}


def test_where_a_model_tells_no_example_one_is_asked_for() -> None:
    answer = wire.ModelConfigResponse()
    answer.config.name = "price"

    with pytest.raises(ConfigError, match='--example: "price" has none; expected a request by --data'):
        example_of(answer)


def test_strings_are_preceded_by_their_length() -> None:
    assert tensor_of("BYTES", ["é", ""]) == ([2], b"\x02\x00\x00\x00\xc3\xa9\x00\x00\x00\x00")


def test_a_missing_number_is_not_a_number() -> None:
    _, raw = tensor_of("FP64", [None, 1])

    assert math.isnan(struct.unpack("<2d", raw)[0])


@pytest.mark.parametrize(("cell", "byte"), [("true", b"\x01"), ("FALSE", b"\x00"), (True, b"\x01"), (False, b"\x00")])
def test_a_boolean_is_read_from_text_too(cell: Any, byte: bytes) -> None:
    assert tensor_of("BOOL", [cell]) == ([1], byte)


def test_a_value_that_does_not_fit_is_told_before_it_is_sent() -> None:
    with pytest.raises(ConfigError, match="does not fit INT32"):
        tensor_of("INT32", ["many"])


def test_an_answer_becomes_one_record_per_row() -> None:
    answer = wire.ModelInferResponse()
    answer.outputs.add(name="p", datatype="FP64", shape=[2, 1])
    answer.outputs.add(name="label", datatype="BYTES", shape=[2])
    answer.raw_output_contents.extend([struct.pack("<2d", 0.5, 1.0), b"\x01\0\0\0a\x02\0\0\0bc"])

    assert records_of(answer) == [{"p": 0.5, "label": "a"}, {"p": 1.0, "label": "bc"}]


def test_an_answer_in_typed_contents_is_read_as_well() -> None:
    answer = wire.ModelInferResponse()
    output = answer.outputs.add(name="label", datatype="BYTES", shape=[1, 2])
    output.contents.bytes_contents.extend([b"a", b"b"])

    assert records_of(answer) == [{"label": ["a", "b"]}]


def test_what_is_not_a_number_is_null_as_over_http() -> None:
    answer = wire.ModelInferResponse()
    answer.outputs.add(name="p", datatype="FP32", shape=[1, 2])
    answer.raw_output_contents.append(struct.pack("<2f", math.nan, 1.5))

    assert records_of(answer) == [{"p": [None, 1.5]}]

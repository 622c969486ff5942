"""The document says what is true of the model, in three dialects, and its example works."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.catalog import DeploymentState
from gateway.core.errors import NotReady
from gateway.core.signature import Column, Kind
from gateway.core.tensor import BY_NAME
from gateway.edge.json_forms import score_payload
from gateway.edge.openapi import VERSIONS, document
from gateway.features.assemble import Assembler
from tests.support.edge_service import CARAT, CUT, PRICE, deployment, endpoint

PIXELS = Column(name="pixels", kind=Kind.FLOAT, datatype=BY_NAME["FP32"], shape=(2, -1))
COUNT = Column(name="count", kind=Kind.INTEGER, datatype=BY_NAME["INT64"], nullable=True)


def described(version: str, **facts: Any) -> dict[str, Any]:
    state = endpoint(deployment(**facts))
    return document(state, state.default, version=version)


def schemas(made: dict[str, Any]) -> dict[str, Any]:
    found = made["definitions"] if "definitions" in made else made["components"]["schemas"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("version", "key", "said"),
    [
        ("2", "swagger", "2.0"),
        ("2.0", "swagger", "2.0"),
        ("3", "openapi", "3.0.3"),
        ("3.0", "openapi", "3.0.3"),
        ("3.1", "openapi", "3.1.0"),
    ],
)
def test_the_document_says_which_version_it_is(version: str, key: str, said: str) -> None:
    assert described(version)[key] == said


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("example", [((0.23, "Ideal"),), ()])
def test_the_example_is_a_body_that_the_model_takes(version: str, example: tuple[tuple[object, ...], ...]) -> None:
    body = schemas(described(version, example=example))["ServiceInput"]["example"]
    rows = Assembler(deployment().signature, 32)(score_payload(body))

    assert rows.count == 1


def test_a_blank_example_fits_tensors_too() -> None:
    body = schemas(described("3", inputs=[PIXELS, COUNT], example=()))["ServiceInput"]["example"]
    rows = Assembler(deployment(inputs=[PIXELS, COUNT]).signature, 32)(score_payload(body))

    assert rows.count == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_every_reference_leads_somewhere(version: str) -> None:
    made = described(version)
    names = schemas(made).keys()
    references = [str(ref).rsplit("/", 1)[1] for ref in _references(made)]

    assert set(references) == {"ServiceInput", "ServiceOutput", "ErrorResponse"} == names


def test_inputs_are_typed_with_levels() -> None:
    record = schemas(described("3", inputs=[CARAT, CUT]))["ServiceInput"]["properties"]["input_data"]["items"]

    assert record == {
        "type": "object",
        "required": ["carat", "cut"],
        "properties": {
            "carat": {"type": "number", "format": "double"},
            "cut": {"type": "string", "enum": ["Fair", "Good", "Ideal"]},
        },
    }


@pytest.mark.parametrize(
    ("version", "schema"),
    [
        ("2", {"type": "integer", "format": "int64", "x-nullable": True}),
        ("3", {"type": "integer", "format": "int64", "nullable": True}),
        ("3.1", {"type": ["integer", "null"], "format": "int64"}),
    ],
)
def test_each_version_has_its_own_word_for_null(version: str, schema: dict[str, Any]) -> None:
    made = schemas(described(version, inputs=[COUNT], example=()))

    assert made["ServiceInput"]["properties"]["input_data"]["items"]["properties"]["count"] == schema


def test_one_output_is_a_bare_list_and_several_are_records() -> None:
    one = schemas(described("3"))["ServiceOutput"]["items"]
    two = schemas(described("3", outputs=[PRICE, CUT]))["ServiceOutput"]["items"]

    assert (one["type"], two["type"], list(two["properties"])) == ("number", "object", ["price", "cut"])


def test_a_script_of_json_text_is_described_by_its_example() -> None:
    data = Column(name="data", kind=Kind.STRING, datatype=BY_NAME["BYTES"])
    made = schemas(described("3", inputs=[data], platform="r", example=(('{"x": [1]}',),)))

    assert made["ServiceInput"] == {"example": {"x": [1]}}


def test_no_request_is_made_up_for_a_script_of_json_text() -> None:
    data = Column(name="data", kind=Kind.STRING, datatype=BY_NAME["BYTES"])
    made = schemas(described("3", inputs=[data], platform="r", example=()))

    assert made["ServiceInput"] == {}


def test_a_model_that_has_not_loaded_cannot_be_described() -> None:
    state = endpoint(deployment())
    with pytest.raises(NotReady, match="blue"):
        document(state, DeploymentState(name="blue", deployment=None, is_ready=False), version="2")


def test_of_a_model_that_could_not_be_loaded_it_is_told_that_it_failed() -> None:
    blue = DeploymentState(name="blue", deployment=None, is_ready=False, has_failed=True)
    with pytest.raises(NotReady, match="has failed to load its model"):
        document(endpoint(deployment()), blue, version="2")


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [ref for child in value.values() for ref in _references(child)]
    if isinstance(value, list):
        return [ref for child in value for ref in _references(child)]
    return []

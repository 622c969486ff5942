"""JSON text in, JSON text out, nothing quoted twice."""

from __future__ import annotations

import pytest

from gateway.core.errors import InvalidInput
from gateway.core.payload import Table
from gateway.core.request import Answer
from gateway.core.signature import Column, Kind
from gateway.core.tensor import BY_NAME
from gateway.edge.text_model import takes_text, text_payload, text_result
from tests.support.edge_service import PRICE, deployment, endpoint, rows_of

DATA = Column(name="data", kind=Kind.STRING, datatype=BY_NAME["BYTES"])
RESULT = Column(name="result", kind=Kind.STRING, datatype=BY_NAME["BYTES"])
SCRIPT = deployment(inputs=[DATA], outputs=[RESULT], platform="r", name="script")
FRAME = deployment(platform="r", name="frame")


def test_a_script_is_known_by_its_signature() -> None:
    onnx = deployment(inputs=[DATA], outputs=[RESULT])

    assert [each.takes_text for each in (SCRIPT, FRAME, onnx)] == [True, False, False]


def test_the_pinned_deployment_decides_before_the_default_one() -> None:
    both = endpoint(FRAME, SCRIPT)

    assert (takes_text(both, None), takes_text(both, "script")) == (False, True)


def test_the_body_is_one_row_as_it_is() -> None:
    assert text_payload(b'{"a": [1, 2]} ') == Table(["data"], [['{"a": [1, 2]} ']])


def test_a_body_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidInput, match="UTF-8"):
        text_payload(b"\xff")


@pytest.mark.parametrize(
    ("result", "sent"),
    [
        ('{"price": [326]}', b'{"price": [326]}'),
        ("[1, 2]", b"[1, 2]"),
        ("not JSON", b'"not JSON"'),
        ("[1, ", b'"[1, "'),
        (None, b"{}"),
    ],
)
def test_json_text_is_sent_as_it_is_and_other_text_quoted(result: str | None, sent: bytes) -> None:
    assert text_result(Answer(SCRIPT, rows_of([RESULT], (result,)))) == sent


def test_the_answer_of_any_other_model_is_not_text() -> None:
    assert text_result(Answer(FRAME, rows_of([PRICE], (1.0,)))) is None

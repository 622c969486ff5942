"""What a session is handed, without a session."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from workers.runtimes.base import Batch
from workers.runtimes.onnx_inputs import plan_inputs
from workers.runtimes.onnx_tensor import TensorInfo
from workers.signature_file import SignatureColumn

FLAG = TensorInfo("flag", "tensor(bool)", (None, 1))
AMOUNT = TensorInfo("amount", "tensor(double)", (None, 1))
MATRIX = TensorInfo("x", "tensor(float)", (None, 2))


def test_a_contiguous_tensor_is_aligned_even_where_its_record_is_not() -> None:
    plan = plan_inputs([FLAG, AMOUNT], [], "model.onnx")

    feed = plan.feed(Batch(1, struct.pack("<?d", True, 2.5)))

    assert feed["amount"].flags.aligned
    assert (feed["flag"].tolist(), feed["amount"].tolist()) == ([[True]], [[2.5]])


def test_the_records_of_a_matrix_are_not_copied() -> None:
    records = struct.pack("<ffff", 1, 2, 3, 4)
    plan = plan_inputs([MATRIX], [], "model.onnx")

    array = plan.feed(Batch(2, records))["x"]

    assert array.base is not None
    assert not array.flags.owndata
    assert array.tolist() == [[1, 2], [3, 4]]


def test_the_records_of_a_matrix_of_another_type_are_cast() -> None:
    declared = [SignatureColumn(name=name, type="float", datatype="FP64") for name in ("a", "b")]
    plan = plan_inputs([MATRIX], declared, "model.onnx")

    array = plan.feed(Batch(2, struct.pack("<dddd", 1, 2, 3, 4)))["x"]

    assert (array.dtype, array.tolist()) == (np.dtype("f4"), [[1, 2], [3, 4]])


@pytest.mark.parametrize("size", [0, 4, 12, 20])
def test_records_that_are_no_rows_of_the_matrix_are_refused(size: int) -> None:
    plan = plan_inputs([MATRIX], [], "model.onnx")

    with pytest.raises(ValueError, match=r"cannot reshape|buffer size|empty"):
        plan.feed(Batch(2, bytes(size)))

"""What needs no signature is refused before anybody looks at one, in words that name the tensor."""

from __future__ import annotations

import struct

import pytest

from gateway.core.errors import InvalidInput
from gateway.edge.oip_tensors import collect, frame, raw_tensor, value_tensor


def refusal(*arguments: object, raw: bool) -> str:
    with pytest.raises(InvalidInput) as failure:
        (raw_tensor if raw else value_tensor)("t", *arguments)  # type: ignore[arg-type]
    return str(failure.value)


def test_raw_elements_that_fit_their_shape_are_kept_as_they_are() -> None:
    tensor = raw_tensor("t", "FP32", [2, 2], b"0123456789abcdef")

    assert (tensor.shape, tensor.raw) == ((2, 2), b"0123456789abcdef")


@pytest.mark.parametrize("size", [0, 15, 17])
def test_raw_elements_of_another_size_are_refused(size: int) -> None:
    assert (
        refusal("FP32", [2, 2], b"x" * size, raw=True)
        == f'input "t": expected 16 bytes for shape [2, 2] of FP32, got {size}'
    )


@pytest.mark.parametrize("raw", [True, False])
def test_a_negative_dimension_is_refused(raw: bool) -> None:
    assert "got shape [-1, 4]" in refusal("FP32", [-1, 4], b"" if raw else [], raw=raw)


@pytest.mark.parametrize("shape", [[2**31], [2**16, 2**16], [2**62, 0], [2**63 - 1, 2**63 - 1]])
def test_more_elements_than_a_message_can_hold_are_refused(shape: list[int]) -> None:
    assert "expected at most 2147483647 elements" in refusal("FP32", shape, b"", raw=True)


@pytest.mark.parametrize("raw", [True, False])
def test_an_unknown_datatype_is_refused(raw: bool) -> None:
    assert 'got "FP31"' in refusal("FP31", [1], b"1234" if raw else [1], raw=raw)


def test_strings_are_counted_by_their_lengths() -> None:
    tensor = raw_tensor("t", "BYTES", [3], frame(b"a") + frame(b"") + frame(b"ccc"))

    assert tensor.shape == (3,)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (frame(b"a"), "expected 2 elements for shape [2] of BYTES, got 1"),
        (frame(b"a") * 3, "expected 2 elements for shape [2] of BYTES, got more than 2"),
        (frame(b"a") + struct.pack("<I", 5) + b"1234", "expected 5 bytes for element 1, got 4"),
        (frame(b"a") + b"\1\0\0", "expected a length of 4 bytes before element 1, got 3"),
        (struct.pack("<I", 2**32 - 1), "expected 4294967295 bytes for element 0, got 0"),
    ],
)
def test_broken_strings_are_refused(raw: bytes, said: str) -> None:
    assert refusal("BYTES", [2], raw, raw=True) == f'input "t": {said}'


def test_values_may_be_flat_or_nested() -> None:
    flat = value_tensor("t", "INT64", [2, 3], [1, 2, 3, 4, 5, 6])
    nested = value_tensor("t", "INT64", [2, 3], [[1, 2, 3], [4, 5, 6]])

    assert flat == nested


@pytest.mark.parametrize(
    "values",
    [
        [[1, 2, 3]],
        [[1, 2], [3, 4], [5, 6]],
        [[1, 2, 3, 4], [5, 6]],
        [[1, 2, 3], 4, 5, 6],
        [[[1], [2], [3]], [[4], [5], [6]]],
    ],
)
def test_values_nested_in_another_way_than_the_shape_are_refused(values: list[object]) -> None:
    assert refusal("INT64", [2, 3], values, raw=False) == 'input "t": expected data nested as shape [2, 3] says'


def test_too_few_values_are_refused() -> None:
    assert (
        refusal("INT64", [2, 3], [1, 2], raw=False) == 'input "t": expected 6 elements for shape [2, 3] of INT64, got 2'
    )


def test_half_precision_has_no_other_form_than_raw() -> None:
    assert "expected FP16 as raw bytes" in refusal("FP16", [1], [1.0], raw=False)


def test_data_that_is_no_list_is_refused() -> None:
    assert refusal("FP32", [1], 1.0, raw=False) == 'input "t": expected data to be a list'


def test_two_tensors_of_one_name_are_refused() -> None:
    tensor = value_tensor("t", "FP32", [1], [1.0])

    with pytest.raises(InvalidInput, match='input "t": given more than once'):
        collect([tensor, tensor])


def test_a_request_without_tensors_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least one"):
        collect([])


@pytest.mark.parametrize(
    "shape",
    [
        [2**31],
        [0, 2**31],
        [2**31 - 1, 2**31 - 1, 0],
        [65_536, 65_536],
        [2**62, 2**62, 2],
        [10**4000],
        [0] * 31 + [10**4000],
    ],
)
@pytest.mark.parametrize("raw", [True, False])
def test_no_product_of_dimensions_overflows_or_hides_behind_a_zero(shape: list[int], raw: bool) -> None:
    assert "expected at most 2147483647 elements" in refusal("FP32", shape, b"" if raw else [], raw=raw)


@pytest.mark.parametrize("dimensions", [33, 1_000_000])
def test_a_shape_of_too_many_dimensions_is_refused_before_they_are_multiplied(dimensions: int) -> None:
    said = refusal("FP32", [2**31 - 1] * dimensions, b"", raw=True)

    assert said == f'input "t": expected at most 32 dimensions, got {dimensions}'


def test_more_strings_than_anybody_counts_are_refused_before_they_are_counted() -> None:
    said = refusal("BYTES", [(1 << 20) + 1], bytes(4 * ((1 << 20) + 1)), raw=True)

    assert "expected at most 1048576 strings" in said


def test_strings_are_not_counted_beyond_what_the_shape_says() -> None:
    said = refusal("BYTES", [1], bytes(4_000_000), raw=True)

    assert said == 'input "t": expected 1 elements for shape [1] of BYTES, got more than 1'

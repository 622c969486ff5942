"""Columns of an R model: the model's word, the file's word, and where they disagree."""

from __future__ import annotations

import pytest

from workers.runtimes.base import LoadError
from workers.runtimes.r_schema import Known, KnownColumn, Returned, inputs_of, outputs_of
from workers.signature_file import ColumnType, SignatureColumn, SignatureFile

CUT = KnownColumn(name="cut", kind="categorical", levels=("Fair", "Good"), is_ordered=True)
CARAT = KnownColumn(name="carat", kind="float")
HELD = Known(columns=(CARAT, CUT))
RETURNED = (
    Returned(name="label", kind="categorical", levels=("no", "yes")),
    Returned(name="probability", kind="float"),
)


def column(name: str, kind: ColumnType = "float", *levels: str, datatype: str | None = None) -> SignatureColumn:
    return SignatureColumn(name=name, type=kind, levels=levels or None, datatype=datatype)


def inputs(*columns: SignatureColumn) -> SignatureFile:
    return SignatureFile(inputs=columns)


def outputs(*columns: SignatureColumn) -> SignatureFile:
    return SignatureFile(inputs=(column("x"),), outputs=columns)


def test_what_the_model_holds_needs_no_file() -> None:
    carat, cut = inputs_of(HELD, None, "m")

    assert (carat.column.datatype, carat.form) == ("FP64", "double")
    assert (cut.column.levels, cut.form, cut.is_ordered) == (("Fair", "Good"), "factor", True)


def test_the_file_decides_the_order_and_the_datatype_but_r_still_gets_doubles() -> None:
    cut, carat = inputs_of(HELD, inputs(column("cut", "categorical"), column("carat", datatype="FP32")), "m")

    assert cut.column.levels == ("Fair", "Good")
    assert cut.is_ordered
    assert (carat.column.datatype, carat.form) == ("FP32", "double")


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ((column("carat"),), 'also needs the column "cut"'),
        ((column("carat"), column("cut", "categorical"), column("id")), 'has no predictor "id"'),
        ((column("carat"), column("cut", "categorical", "Good", "Fair")), '"cut": levels: expected those'),
        ((column("carat"), column("cut", "string")), '"cut": the model holds a categorical'),
        ((column("carat", "boolean"), column("cut", "categorical")), '"carat": the model was trained on a number'),
    ],
)
def test_a_file_that_contradicts_the_model_is_refused_by_column(
    declared: tuple[SignatureColumn, ...], message: str
) -> None:
    with pytest.raises(LoadError, match=message):
        inputs_of(HELD, inputs(*declared), "m")


def test_a_matrix_takes_numbers_only() -> None:
    with pytest.raises(LoadError, match='"x": the model takes a matrix of numbers'):
        inputs_of(Known(is_numeric=True), inputs(column("x", "string")), "m")


def test_a_matrix_takes_as_many_columns_as_it_was_trained_on() -> None:
    with pytest.raises(LoadError, match="takes 3 columns by position, the file declares 1"):
        inputs_of(Known(is_numeric=True, count=3), inputs(column("x")), "m")


def test_levels_that_nobody_holds_are_asked_for() -> None:
    with pytest.raises(LoadError, match=r'"cut": levels: the model does not hold them'):
        inputs_of(Known(names=("cut",)), inputs(column("cut", "categorical")), "m")


def test_integers_that_do_not_fit_into_r_become_doubles() -> None:
    (wide, small) = inputs_of(Known(), inputs(column("a", "integer", datatype="INT64"), column("b", "integer")), "m")

    assert (wide.form, small.form) == ("double", "integer")


def test_a_tensor_is_refused() -> None:
    with pytest.raises(LoadError, match="one value per row and column"):
        inputs_of(Known(), inputs(SignatureColumn(name="x", type="float", shape=(4,))), "m")


def test_all_outputs_are_given_when_the_file_names_none() -> None:
    assert [o.column.name for o in outputs_of(RETURNED, None, "m")] == ["label", "probability"]


def test_a_known_name_is_that_column_and_another_renames_the_first_of_its_type() -> None:
    found = outputs_of(RETURNED, outputs(column("probability"), column("class", "categorical")), "m")

    assert [(o.column.name, o.source) for o in found] == [("probability", "probability"), ("class", "label")]


def test_an_output_that_the_model_does_not_return_is_refused() -> None:
    with pytest.raises(LoadError, match=r'"c" \(float\): the model returns "label" \(categorical\)'):
        outputs_of(RETURNED, outputs(column("probability"), column("c")), "m")


def test_levels_of_an_output_must_be_the_models() -> None:
    with pytest.raises(LoadError, match='"label": levels'):
        outputs_of(RETURNED, outputs(column("label", "categorical", "yes", "no")), "m")

"""The ONNX runtime on real sessions: records in, records out."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.support import onnx_models as models
from workers.options import GroupOptions, WorkerOptions
from workers.runtimes.base import Batch, BatchInvalid, Loaded, LoadError, ModelError, Result, Text
from workers.runtimes.onnx import OnnxRuntime
from workers.schema import Column


def group(model: Path, **settings: Any) -> GroupOptions:
    return GroupOptions(model=str(model), workers=[WorkerOptions(name="e/d/0", address="unix:/nowhere")], **settings)


def opened(model: Path, **settings: Any) -> tuple[OnnxRuntime, Loaded]:
    runtime = OnnxRuntime(group(model, **settings))
    return runtime, runtime.load()


def declare(folder: Path, **document: Any) -> Path:
    (folder / "signature.json").write_text(json.dumps(document))
    return folder


def floats(result: Result, code: str = "f4") -> list[float]:
    values: list[float] = np.frombuffer(result.records, "<" + code).tolist()
    return values


ROWS = np.array([[1, 2, 3, 4], [-1, 0.5, 0, 2], [9, -9, 3, 1]], dtype="f4")


def test_a_matrix_input_is_one_column_with_a_length(tmp_path: Path) -> None:
    _, loaded = opened(models.mlp(tmp_path / "model.onnx"))

    assert loaded.schema.inputs == (Column(name="x", kind="float", datatype="FP32", shape=(4,)),)
    assert loaded.schema.outputs == (Column(name="y", kind="float", datatype="FP32"),)
    assert (loaded.platform, loaded.device, loaded.max_rows) == ("onnx_onnxruntime", "cpu", 0)


def test_the_records_of_a_matrix_are_its_rows(tmp_path: Path) -> None:
    runtime, _ = opened(models.mlp(tmp_path / "model.onnx"))

    result = runtime.score(Batch(3, ROWS.tobytes()))

    np.testing.assert_allclose(floats(result), models.mlp_answers(ROWS), rtol=1e-4)


def test_declared_scalars_are_the_columns_of_the_matrix(tmp_path: Path) -> None:
    models.mlp(tmp_path / "model.onnx")
    declare(tmp_path, inputs=[{"name": name, "type": "float"} for name in "abcd"])
    runtime, loaded = opened(tmp_path)

    result = runtime.score(Batch(3, ROWS.tobytes()))

    assert [(c.name, c.datatype, c.shape) for c in loaded.schema.inputs] == [(n, "FP32", ()) for n in "abcd"]
    np.testing.assert_allclose(floats(result), models.mlp_answers(ROWS), rtol=1e-4)


def test_columns_declared_as_doubles_are_cast_for_a_float_matrix(tmp_path: Path) -> None:
    models.mlp(tmp_path / "model.onnx")
    declare(tmp_path, inputs=[{"name": name, "type": "float", "datatype": "FP64"} for name in "abcd"])
    runtime, _ = opened(tmp_path)

    result = runtime.score(Batch(3, ROWS.astype("f8").tobytes()))

    np.testing.assert_allclose(floats(result), models.mlp_answers(ROWS), rtol=1e-4)


def test_columns_of_mixed_types_fill_a_matrix_in_their_order(tmp_path: Path) -> None:
    models.doubling(tmp_path / "model.onnx", [None, 4])
    declare(
        tmp_path,
        inputs=[
            {"name": "a", "type": "integer", "datatype": "INT16"},
            {"name": "b", "type": "float"},
            {"name": "c", "type": "boolean"},
            {"name": "d", "type": "categorical", "levels": ["low", "high"]},
        ],
    )
    runtime, _ = opened(tmp_path)

    result = runtime.score(Batch(2, struct.pack("<hf?ihf?i", 7, 1.5, True, 1, -3, 0.25, False, -1)))

    np.testing.assert_array_equal(floats(result), [14, 3, 2, 2, -6, 0.5, 0, np.nan])


@pytest.mark.parametrize("width", [1, 2])
def test_string_columns_are_the_columns_of_a_string_matrix(tmp_path: Path, width: int) -> None:
    models.echo(tmp_path / "model.onnx", width)
    declare(tmp_path, inputs=[{"name": name, "type": "string"} for name in "abc"[:width]])
    runtime, _ = opened(tmp_path)

    texts: list[Text] = [["1", "2", "3"], ["x", "y", "z"]]

    result = runtime.score(Batch(3, b"", texts[:width]))

    assert result.texts == [["1", "2", "3"] if width == 1 else ["1", "x", "2", "y", "3", "z"]]


def test_inputs_of_one_column_each_are_fed_by_name(tmp_path: Path) -> None:
    runtime, loaded = opened(models.columns(tmp_path / "model.onnx"))

    result = runtime.score(Batch(2, struct.pack("<fqfq", 1.5, 2, 4.0, 3), [["ab", "ç"]]))

    assert [(c.name, c.kind) for c in loaded.schema.inputs] == [
        ("amount", "float"),
        ("count", "integer"),
        ("word", "string"),
    ]
    assert floats(result) == [3.0, 12.0]
    assert result.texts == [["ab", "ç"]]


def test_the_declared_order_of_inputs_is_the_order_of_the_record(tmp_path: Path) -> None:
    models.columns(tmp_path / "model.onnx")
    declare(
        tmp_path,
        inputs=[
            {"name": "word", "type": "string"},
            {"name": "count", "type": "integer"},
            {"name": "amount", "type": "float", "datatype": "FP64"},
        ],
    )
    runtime, _ = opened(tmp_path)

    result = runtime.score(Batch(1, struct.pack("<qd", 3, 0.5), [["w"]]))

    assert floats(result) == [1.5]


def test_a_missing_string_reaches_the_model_as_the_empty_one(tmp_path: Path) -> None:
    runtime, _ = opened(models.columns(tmp_path / "model.onnx"))

    result = runtime.score(Batch(1, struct.pack("<fq", 1, 1), [[None]]))

    assert result.texts == [[""]]


def test_a_categorical_hands_a_string_input_its_level(tmp_path: Path) -> None:
    models.one_hot(tmp_path / "model.onnx")
    declare(tmp_path, inputs=[{"name": "color", "type": "categorical", "levels": ["blue", "red"]}])
    runtime, _ = opened(tmp_path)

    result = runtime.score(Batch(3, struct.pack("<iii", 0, 1, -1)))

    assert floats(result) == [0.0, 1.0, 0.0]


def test_a_categorical_hands_an_integer_input_its_position(tmp_path: Path) -> None:
    models.embedding(tmp_path / "model.onnx")
    declare(tmp_path, inputs=[{"name": "code", "type": "categorical", "levels": ["a", "b", "c"]}])
    runtime, _ = opened(tmp_path)

    result = runtime.score(Batch(2, struct.pack("<ii", 2, 1)))

    assert floats(result) == [20.0, 10.0]


def test_a_position_beyond_the_levels_is_an_invalid_batch(tmp_path: Path) -> None:
    models.one_hot(tmp_path / "model.onnx")
    declare(tmp_path, inputs=[{"name": "color", "type": "categorical", "levels": ["blue", "red"]}])
    runtime, _ = opened(tmp_path)

    with pytest.raises(BatchInvalid, match='column "color": expected positions of 2 levels'):
        runtime.score(Batch(1, struct.pack("<i", 3)))


def test_open_lengths_come_with_the_batch_and_go_with_the_result(tmp_path: Path) -> None:
    runtime, loaded = opened(models.doubling(tmp_path / "model.onnx", [None, None, 2]))

    result = runtime.score(Batch(2, np.arange(12, dtype="<f4").tobytes(), shapes=[(3, 2)]))

    assert loaded.schema.inputs[0].shape == loaded.schema.outputs[0].shape == (-1, 2)
    assert result.shapes == [(3, 2)]
    assert floats(result) == [2.0 * i for i in range(12)]


def test_a_declared_shape_closes_an_open_length(tmp_path: Path) -> None:
    models.doubling(tmp_path / "model.onnx", [None, None])
    column = {"type": "float", "shape": [2]}
    declare(tmp_path, inputs=[{"name": "x", **column}], outputs=[{"name": "y", **column}])
    runtime, loaded = opened(tmp_path)

    result = runtime.score(Batch(1, struct.pack("<ff", 1, 2)))

    assert loaded.schema.outputs[0].shape == (2,)
    assert (floats(result), result.shapes) == ([2.0, 4.0], None)


def test_class_maps_become_one_column_with_an_element_for_each_class(tmp_path: Path) -> None:
    runtime, loaded = opened(models.zipmap(tmp_path / "model.onnx"))

    result = runtime.score(Batch(2, struct.pack("<ffff", 0, 0, 0, np.log(3))))

    assert [(c.name, c.kind, c.shape) for c in loaded.schema.outputs] == [
        ("label", "string", ()),
        ("probabilities", "float", (2,)),
    ]
    assert json.loads(loaded.properties["classes.probabilities"]) == ["benign", "malignant"]
    np.testing.assert_allclose(floats(result), [0.5, 0.5, 0.25, 0.75], rtol=1e-4)
    assert result.texts == [["benign", "malignant"]]


def test_outputs_named_after_classes_take_their_scores_by_name(tmp_path: Path) -> None:
    models.zipmap(tmp_path / "model.onnx")
    declare(
        tmp_path,
        inputs=[{"name": "x", "type": "float"}],
        outputs=[{"name": "malignant", "type": "float"}, {"name": "benign", "type": "float", "datatype": "FP64"}],
    )
    runtime, loaded = opened(tmp_path)

    result = runtime.score(Batch(1, struct.pack("<ff", 0, np.log(3))))

    assert [c.name for c in loaded.schema.outputs] == ["malignant", "benign"]
    assert struct.unpack("<fd", result.records) == pytest.approx((0.75, 0.25))


def test_outputs_with_names_of_their_own_take_integer_classes_in_order(tmp_path: Path) -> None:
    models.zipmap(tmp_path / "model.onnx", classes=(0, 1))
    declare(
        tmp_path,
        inputs=[{"name": "x", "type": "float"}],
        outputs=[
            {"name": "label", "type": "categorical", "levels": ["no", "yes"]},
            {"name": "p_no", "type": "float"},
            {"name": "p_yes", "type": "float"},
        ],
    )
    runtime, _ = opened(tmp_path)

    result = runtime.score(Batch(1, struct.pack("<ff", 0, np.log(3))))

    assert struct.unpack("<iff", result.records) == pytest.approx((1, 0.25, 0.75))


def test_a_single_output_may_be_renamed(tmp_path: Path) -> None:
    models.mlp(tmp_path / "model.onnx")
    declare(tmp_path, inputs=[{"name": "x", "type": "float"}], outputs=[{"name": "price", "type": "float"}])
    runtime, loaded = opened(tmp_path)

    result = runtime.score(Batch(3, ROWS.tobytes()))

    assert loaded.schema.outputs[0].name == "price"
    np.testing.assert_allclose(floats(result), models.mlp_answers(ROWS), rtol=1e-4)


def test_elements_of_a_matrix_output_may_be_columns(tmp_path: Path) -> None:
    models.doubling(tmp_path / "model.onnx", [None, 2])
    declare(
        tmp_path,
        inputs=[{"name": "x", "type": "float"}],
        outputs=[{"name": "low", "type": "float"}, {"name": "high", "type": "float"}],
    )
    runtime, loaded = opened(tmp_path)

    result = runtime.score(Batch(1, struct.pack("<ff", 1, 2)))

    assert [(c.name, c.shape) for c in loaded.schema.outputs] == [("low", ()), ("high", ())]
    assert floats(result) == [2.0, 4.0]


def test_a_batch_dimension_of_one_allows_one_row(tmp_path: Path) -> None:
    _, loaded = opened(models.mlp(tmp_path / "model.onnx", batch=1))

    assert loaded.max_rows == 1


def test_another_fixed_batch_dimension_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match='input "x" fixes its first dimension at 8'):
        opened(models.mlp(tmp_path / "model.onnx", batch=8))


def test_an_input_without_a_batch_dimension_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match='input "x" has no batch dimension'):
        opened(models.doubling(tmp_path / "model.onnx", []))


def test_records_of_the_wrong_size_are_an_invalid_batch(tmp_path: Path) -> None:
    runtime, _ = opened(models.mlp(tmp_path / "model.onnx"))

    with pytest.raises(BatchInvalid):
        runtime.score(Batch(2, ROWS.tobytes()))


def test_what_the_model_raises_has_a_text_and_a_kind(tmp_path: Path) -> None:
    runtime, _ = opened(models.embedding(tmp_path / "model.onnx"))

    with pytest.raises(ModelError, match="out of data bounds") as caught:
        runtime.score(Batch(1, struct.pack("<q", 99)))

    assert caught.value.kind
    assert "/onnxruntime" not in str(caught.value)


def test_a_model_scores_again_after_it_raised(tmp_path: Path) -> None:
    runtime, _ = opened(models.embedding(tmp_path / "model.onnx"))
    with pytest.raises(ModelError):
        runtime.score(Batch(1, struct.pack("<q", 99)))

    assert floats(runtime.score(Batch(1, struct.pack("<q", 1)))) == [10.0]


def test_an_interrupt_that_comes_late_does_not_touch_the_next_batch(tmp_path: Path) -> None:
    runtime, _ = opened(models.embedding(tmp_path / "model.onnx"))

    runtime.interrupt()

    assert floats(runtime.score(Batch(1, struct.pack("<q", 1)))) == [10.0]


def test_weights_in_a_file_beside_the_model_are_found(tmp_path: Path) -> None:
    inside = onnx.load(str(models.mlp(tmp_path / "inside.onnx")))
    path = tmp_path / "deep" / "model.onnx"
    path.parent.mkdir()
    onnx.save(inside, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    runtime, _ = opened(path.parent)

    result = runtime.score(Batch(3, ROWS.tobytes()))

    assert (path.parent / "weights.bin").exists()
    np.testing.assert_allclose(floats(result), models.mlp_answers(ROWS), rtol=1e-4)


def test_an_mlflow_folder_is_served_with_the_columns_of_its_signature(tmp_path: Path) -> None:
    models.mlp(tmp_path / "net.onnx")
    inputs = json.dumps([{"type": "double", "name": name, "required": True} for name in "abcd"])
    (tmp_path / "MLmodel").write_text(f"flavors:\n  onnx: {{data: net.onnx}}\nsignature:\n  inputs: '{inputs}'\n")
    runtime, loaded = opened(tmp_path)

    result = runtime.score(Batch(3, ROWS.astype("f8").tobytes()))

    assert [(c.name, c.datatype) for c in loaded.schema.inputs] == [(name, "FP64") for name in "abcd"]
    np.testing.assert_allclose(floats(result), models.mlp_answers(ROWS), rtol=1e-4)


def test_an_unnamed_tensor_of_an_mlflow_signature_is_the_only_input(tmp_path: Path) -> None:
    models.mlp(tmp_path / "net.onnx")
    inputs = json.dumps([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}])
    (tmp_path / "MLmodel").write_text(f"flavors:\n  onnx: {{data: net.onnx}}\nsignature:\n  inputs: '{inputs}'\n")
    _, loaded = opened(tmp_path)

    assert loaded.schema.inputs == (Column(name="x", kind="float", datatype="FP32", shape=(4,)),)


def test_a_file_that_is_no_model_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")

    with pytest.raises(LoadError, match=r"model\.onnx: ONNX Runtime cannot load it"):
        opened(tmp_path)


def test_a_demanded_gpu_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="device: cuda:0 was demanded"):
        opened(models.mlp(tmp_path / "model.onnx"), device="cuda:0")


@pytest.mark.parametrize(("device", "anywhere"), [("cpu", True), ("cuda:0", False), ("tensorrt:0", False)])
def test_only_on_the_cpu_may_any_thread_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, anywhere: bool
) -> None:
    monkeypatch.setattr("workers.runtimes.onnx.check_device", lambda *_: device)
    runtime, _ = opened(models.mlp(tmp_path / "model.onnx"))

    assert runtime.scores_anywhere is anywhere


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ([{"name": "a", "type": "float"}], 'the model takes "x"; not among them: "a"; not declared: "x"'),
        ([{"name": "x", "type": "string"}], r'inputs\[0\]: column "x": expected what fits tensor\(float\), got string'),
        ([{"name": "x", "type": "float", "shape": [5]}], r'column "x": expected \[4\] per row, got \[5\]'),
        ([{"name": "x", "type": "categorical"}], r'inputs\[0\]\.levels: column "x": expected levels'),
    ],
)
def test_inputs_that_do_not_fit_the_model_are_refused_by_name(tmp_path: Path, inputs: Any, told: str) -> None:
    models.mlp(tmp_path / "model.onnx")
    declare(tmp_path, inputs=inputs)

    with pytest.raises(LoadError, match=told) as caught:
        opened(tmp_path)

    assert str(tmp_path / "signature.json") in str(caught.value)


def test_a_float_column_for_an_integer_input_is_refused(tmp_path: Path) -> None:
    models.embedding(tmp_path / "model.onnx")
    declare(tmp_path, inputs=[{"name": "code", "type": "float"}])

    with pytest.raises(LoadError, match=r'column "code": expected integer for tensor\(int64\), got float'):
        opened(tmp_path)


def test_a_missing_integer_is_refused_because_onnx_has_none(tmp_path: Path) -> None:
    models.embedding(tmp_path / "model.onnx")
    declare(tmp_path, inputs=[{"name": "code", "type": "integer", "nullable": True}])

    with pytest.raises(LoadError, match=r'inputs\[0\]\.nullable: column "code": ONNX has no missing integer'):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        ([{"name": "benign", "type": "float"}, {"name": "other", "type": "float"}], "classes benign, malignant"),
        ([{"name": "label", "type": "float"}], r'outputs\[0\]\.type: column "label": expected what fits BYTES'),
        ([{"name": "label", "type": "categorical"}], r"outputs\[0\]\.levels"),
        ([{"name": "probabilities", "type": "float", "shape": [3]}], r"expected \[2\] per row, got \[3\]"),
    ],
)
def test_outputs_that_do_not_fit_the_model_are_refused_by_name(tmp_path: Path, outputs: Any, told: str) -> None:
    models.zipmap(tmp_path / "model.onnx")
    declare(tmp_path, inputs=[{"name": "x", "type": "float"}], outputs=outputs)

    with pytest.raises(LoadError, match=told):
        opened(tmp_path)


def test_a_label_that_is_no_declared_level_is_an_error_of_the_model(tmp_path: Path) -> None:
    models.zipmap(tmp_path / "model.onnx")
    label = {"name": "label", "type": "categorical", "levels": ["benign", "other"]}
    declare(tmp_path, inputs=[{"name": "x", "type": "float"}], outputs=[label])
    runtime, _ = opened(tmp_path)

    with pytest.raises(ModelError, match='output "label"'):
        runtime.score(Batch(1, struct.pack("<ff", 0, 1)))


def test_an_example_that_does_not_fit_its_column_is_refused(tmp_path: Path) -> None:
    models.columns(tmp_path / "model.onnx")
    inputs = [
        {"name": "amount", "type": "float"},
        {"name": "count", "type": "integer"},
        {"name": "word", "type": "string"},
    ]
    declare(tmp_path, inputs=inputs, example=[[1.5, 2.5, "w"]])

    with pytest.raises(LoadError, match=r'example\[0\]: column "count": expected integer'):
        opened(tmp_path)

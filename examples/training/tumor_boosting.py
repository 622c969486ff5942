"""
Trains the ONNX side of tumor: a gradient boosting classifier of scikit-learn.

A converted classifier gives the probabilities of all classes; the one of the last class (``malignant``) is cut out
in the graph, so that both deployments of the endpoint answer alike.

Usage: python tumor_boosting.py DATA.csv MODEL.onnx
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnx
from plain_onnx import predict
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import Pipeline

data_file, model_file = Path(sys.argv[1]), Path(sys.argv[2])
names = [c["name"] for c in json.loads((model_file.parent / "signature.json").read_text(encoding="utf-8"))["inputs"]]

with data_file.open(encoding="utf-8", newline="") as file:
    rows = list(csv.DictReader(file))
X = np.array([[row[name] for name in names] for row in rows], dtype=np.float32)
y = np.array([row["diagnosis"] for row in rows])
held_out = np.array([row["held_out"] == "1" for row in rows])

model = Pipeline(
    [
        # Passes everything: it is here for its inputs, which become one graph input per column.
        ("columns", ColumnTransformer([("measures", "passthrough", list(range(len(names))))])),
        ("boosting", GradientBoostingClassifier(n_estimators=120, max_depth=2, subsample=0.7, random_state=20)),
    ]
)
model.fit(X[~held_out], y[~held_out])

converted = convert_sklearn(
    model,
    name="tumor-boosting",
    initial_types=[(name, FloatTensorType([None, 1])) for name in names],
    options={id(model): {"zipmap": False, "output_class_labels": False}},
    target_opset={"": 17, "ai.onnx.ml": 3},
)
graph = converted.graph
malignant = onnx.helper.make_tensor("malignant", onnx.TensorProto.INT64, [1], [list(model.classes_).index("malignant")])
graph.initializer.append(malignant)
graph.node.append(onnx.helper.make_node("Gather", ["probabilities", "malignant"], ["probability"], axis=1))
del graph.output[:]
graph.output.extend(
    [
        onnx.helper.make_tensor_value_info("probability", onnx.TensorProto.FLOAT, [None, 1]),
        onnx.helper.make_tensor_value_info("label", onnx.TensorProto.STRING, [None]),
    ]
)
onnx.checker.check_model(converted, full_check=True)
model_file.write_bytes(converted.SerializeToString(deterministic=True))

# Measured on the exported graph: what it answers is what will be served.
answers = predict(model_file, {name: X[held_out, i] for i, name in enumerate(names)})
probability = np.array(answers["probability"])
is_malignant = y[held_out] == "malignant"
log_loss = -np.where(is_malignant, np.log(probability), np.log1p(-probability)).mean()
accuracy = (np.array(answers["label"]) == y[held_out]).mean()
print(f"tumor-boosting: {held_out.sum()} held-out rows, accuracy {accuracy:.4f}, log loss {log_loss:.4f}")

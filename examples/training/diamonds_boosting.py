"""
Trains the ONNX side of diamond-price: gradient boosting of scikit-learn with the encoder of the grades in the graph.

The graph takes one input per column, by name, [N, 1]: float32 for numbers, strings for grades. The order of the
levels comes from the signature.json beside the model, which ``ranger`` shares.

Usage: python diamonds_boosting.py DATA.csv MODEL.onnx
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

data_file, model_file = Path(sys.argv[1]), Path(sys.argv[2])
inputs = json.loads((model_file.parent / "signature.json").read_text(encoding="utf-8"))["inputs"]
grades = [i for i, column in enumerate(inputs) if column["type"] == "categorical"]
numbers = [i for i in range(len(inputs)) if i not in grades]

with data_file.open(encoding="utf-8", newline="") as file:
    rows = list(csv.DictReader(file))
X = np.empty((len(rows), len(inputs)), dtype=object)
for i, column in enumerate(inputs):
    X[:, i] = [row[column["name"]] if i in grades else np.float32(row[column["name"]]) for row in rows]
y = np.array([float(row["price"]) for row in rows])
held_out = np.array([row["held_out"] == "1" for row in rows])

encoder = OrdinalEncoder(categories=[inputs[i]["levels"] for i in grades], dtype=np.float32)
model = Pipeline(
    [
        ("columns", ColumnTransformer([("grades", encoder, grades), ("numbers", "passthrough", numbers)])),
        (
            "boosting",
            GradientBoostingRegressor(
                n_estimators=150, max_depth=6, learning_rate=0.12, min_samples_leaf=20, random_state=20
            ),
        ),
    ]
)
model.fit(X[~held_out], y[~held_out])

graph = convert_sklearn(
    model,
    name="diamonds-boosting",
    initial_types=[
        (column["name"], (StringTensorType if i in grades else FloatTensorType)([None, 1]))
        for i, column in enumerate(inputs)
    ],
    final_types=[("price", FloatTensorType([None, 1]))],
    target_opset={"": 17, "ai.onnx.ml": 3},
)
model_file.write_bytes(graph.SerializeToString(deterministic=True))

# Measured on the exported graph: what it answers is what will be served.
from plain_onnx import predict  # noqa: E402  # beside this script; last, because training does not need it

columns = {column["name"]: X[held_out, i] for i, column in enumerate(inputs)}
price = np.array(predict(model_file, columns)["price"])
residual = y[held_out] - price
r2 = 1 - (residual**2).sum() / ((y[held_out] - y[held_out].mean()) ** 2).sum()
print(
    f"diamonds-boosting: {held_out.sum()} held-out rows, R2 {r2:.4f}, "
    f"mean absolute error {abs(residual).mean():.1f} USD, "
    f"largest difference to scikit-learn {abs(price - model.predict(X[held_out])).max():.3g} USD"
)

"""
The answers of plain ONNX Runtime: a session, named inputs, nothing of Lockgate.

Usage: python plain_onnx.py MODEL.onnx ROWS.csv [ROWS_PER_CALL]
Prints a JSON object, a list per output. A float32 is printed as the double that equals it.
"""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


def predict(model: Path, columns: dict[str, Any], rows_per_call: int = 0) -> dict[str, list[Any]]:
    """Answer all rows in calls of ``rows_per_call`` (0: in one)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    answers: dict[str, list[Any]] = {name: [] for name in names}
    feeds = {i.name: column(columns[i.name], i.type) for i in session.get_inputs()}
    count = len(next(iter(feeds.values())))
    step = rows_per_call or count
    for start in range(0, count, step):
        outputs = session.run(names, {name: values[start : start + step] for name, values in feeds.items()})
        for name, values in zip(names, outputs, strict=True):
            answers[name].extend(values.reshape(-1).tolist())
    return answers


def column(values: Any, element: str) -> Any:
    """[N, 1] of the graph's type; numbers are read as doubles first, as JSON readers do, then rounded to float32."""
    if element == "tensor(string)":
        return np.asarray(values, dtype=object).reshape(-1, 1)
    return np.array([float(value) for value in values]).astype(np.float32).reshape(-1, 1)


def main() -> None:
    model, rows, *rest = sys.argv[1:]
    with Path(rows).open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    columns = {name: [record[name] for record in records] for name in records[0]}
    json.dump(predict(Path(model), columns, *map(int, rest)), sys.stdout)


if __name__ == "__main__":
    main()

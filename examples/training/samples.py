"""
Writes 200 held-out rows of each endpoint, evenly spaced, as requests, and the answers of plain R and ONNX Runtime; of
the diamonds also a table of features, with the number of a row as its key.

Usage: python samples.py DIAMONDS.csv TUMOR.csv EXAMPLES_FOLDER
"""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SAMPLE = 200
HERE = Path(__file__).resolve().parent
MODELS = {
    "diamond-price": {"blue": "diamonds-ranger/model.rds", "green": "diamonds-boosting/model.onnx"},
    "tumor": {"blue": "tumor-glm/model.rds", "green": "tumor-boosting/model.onnx"},
}


def main() -> None:
    diamonds, tumor, examples = (Path(argument).resolve() for argument in sys.argv[1:])
    for endpoint, data in (("diamond-price", diamonds), ("tumor", tumor)):
        first = examples / "models" / next(iter(MODELS[endpoint].values()))
        inputs = json.loads((first.parent / "signature.json").read_text(encoding="utf-8"))["inputs"]
        requests = examples / "requests"
        write_requests(requests / endpoint, data, inputs)
        for deployment, model in MODELS[endpoint].items():
            answers = plain_answers(examples / "models" / model, requests / f"{endpoint}.csv")
            write_columns(requests / f"{endpoint}.{deployment}.expected.json", answers)
    write_features(examples, diamonds)


def write_requests(stem: Path, data: Path, inputs: list[dict[str, Any]]) -> None:
    """``stem.csv`` and ``stem.json`` with the inputs, ``stem.rows.json`` with the row numbers in the data set."""
    with data.open(encoding="utf-8", newline="") as file:
        held_out = [row for row in csv.DictReader(file) if row["held_out"] == "1"]
    rows = [held_out[j * len(held_out) // SAMPLE] for j in range(SAMPLE)]
    names = [column["name"] for column in inputs]
    with stem.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(names)
        out.writerows([row[name] for name in names] for row in rows)
    values = [
        [
            row[column["name"]] if column["type"] == "categorical" else json.loads(row[column["name"]])
            for column in inputs
        ]
        for row in rows
    ]
    body = ",\n".join(json.dumps(row) for row in values)
    text = f'{{"input_data": {{"columns": {json.dumps(names)}, "data": [\n{body}\n]}}}}\n'
    stem.with_suffix(".json").write_text(text, encoding="utf-8")
    write_columns(stem.with_suffix(".rows.json"), {"row": [int(row["row"]) for row in rows]})


def write_features(examples: Path, data: Path) -> None:
    """``features/diamonds.csv``: every tenth row of the data set and all that are in requests; all are held out."""
    sample = json.loads((examples / "requests" / "diamond-price.rows.json").read_text(encoding="utf-8"))["row"]
    signature = json.loads((examples / "models" / "diamonds-ranger" / "signature.json").read_text(encoding="utf-8"))
    names = [column["name"] for column in signature["inputs"]]
    with (
        data.open(encoding="utf-8", newline="") as file,
        (examples / "features" / "diamonds.csv").open("w", encoding="utf-8", newline="") as written,
    ):
        out = csv.writer(written, lineterminator="\n")
        out.writerow(["diamond_id", *names])
        for row in csv.DictReader(file):
            number = int(row["row"])
            if number % 10 == 0 or number in sample:
                out.writerow([number, *(row[name] for name in names)])


def plain_answers(model: Path, rows: Path, rows_per_call: int = SAMPLE) -> dict[str, list[Any]]:
    """Answers by output name, from a process of their own that knows nothing of Lockgate."""
    program = ["Rscript", "plain_r.R"] if model.suffix == ".rds" else [sys.executable, "plain_onnx.py"]
    command = [*program, str(model), str(rows), str(rows_per_call)]
    printed = subprocess.run(command, cwd=HERE, check=True, capture_output=True, text=True).stdout
    if model.suffix == ".onnx":
        return json.loads(printed)
    header, *lines = csv.reader(printed.splitlines())
    return {name: [number(line[i]) for line in lines] for i, name in enumerate(header)}


def number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def write_columns(path: Path, columns: dict[str, list[Any]]) -> None:
    """One value a line; Python prints a double with the fewest digits that give it back."""
    path.write_text(json.dumps(columns, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

#!/bin/sh
# Trains the four example models again and writes the sample requests and expected answers, all in place.
# Usage: [PYTHON=/path/to/python] sh examples/training/train.sh
# That Python needs scikit-learn, skl2onnx and onnxruntime; R needs ranger and ggplot2.
set -eu
cd "$(dirname "$0")"
python="${PYTHON:-python3}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
# The same sums and the same order of graph nodes in every run.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONHASHSEED=0

Rscript diamonds_data.R "$work/diamonds.csv"
"$python" tumor_data.py ../data/tumor.csv

Rscript diamonds_ranger.R "$work/diamonds.csv" ../models/diamonds-ranger/model.rds
"$python" diamonds_boosting.py "$work/diamonds.csv" ../models/diamonds-boosting/model.onnx
Rscript tumor_glm.R ../data/tumor.csv ../models/tumor-glm/model.rds
"$python" tumor_boosting.py ../data/tumor.csv ../models/tumor-boosting/model.onnx

"$python" samples.py "$work/diamonds.csv" ../data/tumor.csv ..

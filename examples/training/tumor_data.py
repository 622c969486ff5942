"""
Writes the ten ``worst`` measures of the Wisconsin diagnostic breast cancer data as CSV.

Each row carries its number in the data set (from 1) and whether it is held out: 200 rows, evenly spaced, are. Only
ten of the thirty measures are kept because on all of them a plane separates the classes, so that a logistic
regression has no finite solution; on these ten it has one.

Usage: python tumor_data.py OUT.csv
"""

import csv
import sys
from pathlib import Path

from sklearn.datasets import load_breast_cancer

HELD_OUT = 200

data = load_breast_cancer()
kept = [i for i, name in enumerate(data.feature_names) if name.startswith("worst ")]
names = [data.feature_names[i].replace(" ", "_") for i in kept]
count = len(data.target)
held_out = {j * count // HELD_OUT for j in range(HELD_OUT)}

with Path(sys.argv[1]).open("w", encoding="utf-8", newline="") as file:
    out = csv.writer(file, lineterminator="\n")
    out.writerow(["row", "held_out", *names, "diagnosis"])
    for i, (measures, target) in enumerate(zip(data.data, data.target, strict=True)):
        out.writerow([i + 1, int(i in held_out), *(float(measures[k]) for k in kept), data.target_names[target]])

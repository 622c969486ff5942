"""A served folder of two endpoints and a view, small enough for every test to write. Its models are never loaded."""

from __future__ import annotations

from pathlib import Path

__all__ = ["OTHER", "PRICE", "VIEW", "make_folder"]

PRICE = """\
# what a diamond costs
name: price
traffic: {blue: 90, green: 10}   # since Monday
deployments:
  blue:
    model: ../models/blue.onnx
    features:
      carat: diamonds:carat
  # the new one
  green: {model: ../models/green, workers: 2}
"""
OTHER = """\
name: tumor
deployments:
  only: {model: ../models/blue.onnx}
"""
VIEW = """\
name: diamonds
entities:
  - {name: diamond_id, type: int64}
features:
  - {name: carat, type: float64, default: 0.5, on_missing: default}
seed: diamonds.csv
"""


def make_folder(root: Path) -> Path:
    for folder in ("endpoints", "features", "models/green"):
        (root / folder).mkdir(parents=True)
    (root / "endpoints" / "price.yaml").write_text(PRICE)
    (root / "endpoints" / "tumor.yaml").write_text(OTHER)
    (root / "features" / "diamonds.yaml").write_text(VIEW)
    (root / "features" / "diamonds.csv").write_text("diamond_id,carat\n1,0.3\n")
    (root / "models" / "blue.onnx").write_bytes(b"blue")
    (root / "models" / "green" / "model.rds").write_bytes(b"green")
    (root / "models" / "green" / "score.R").write_bytes(b"score <- identity\n")
    return root

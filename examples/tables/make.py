"""Writes four tables of scikit-learn's as CSV, each split in two: what iris.yaml, wine.yaml,
breast-cancer.yaml and diabetes.yaml train on and are tested on.

    pip install scikit-learn==1.9.0
    python examples/tables/make.py FOLDER [SEED]
    slipway dataset upload wine FOLDER/wine/*.csv
    slipway train examples/wine.yaml --watch
"""

import csv
import pathlib
import sys

from sklearn import datasets
from sklearn.model_selection import train_test_split


def load(name):
    """Columns, rows and targets, as a table has them: raw, with the names of classes."""
    numbers = {"scaled": False} if name == "diabetes" else {}
    data = getattr(datasets, "load_" + name.replace("-", "_"))(**numbers)
    if "target_names" not in data:
        return data.feature_names, data.data, data.target
    return data.feature_names, data.data, data.target_names[data.target]


def split(name, seed):
    """A quarter to test on; of each class its share."""
    columns, rows, targets = load(name)
    classes = None if name == "diabetes" else targets
    parts = train_test_split(rows, targets, test_size=0.25, random_state=seed, stratify=classes)
    return columns, parts


def main():
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for name in ("iris", "wine", "breast-cancer", "diabetes"):
        columns, (train, test, train_targets, test_targets) = split(name, seed)
        folder = pathlib.Path(sys.argv[1], name)
        folder.mkdir(parents=True, exist_ok=True)
        for part, rows, targets in (("train", train, train_targets), ("test", test, test_targets)):
            with open(folder / f"{part}.csv", "w", newline="") as out:
                table = csv.writer(out)
                table.writerow([*columns, "target"])
                for row, target in zip(rows, targets):
                    table.writerow([*(repr(float(value)) for value in row), target])


if __name__ == "__main__":
    main()

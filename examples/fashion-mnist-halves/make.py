"""Writes Fashion-MNIST in two halves: all pictures of its first five classes, and of the other five,
numbered from 0, twenty each to train on. For fashion-mnist-half.yaml and fashion-mnist-fine-tuned.yaml.

    python examples/fashion-mnist-halves/make.py /usr/share/datasets/fashion-mnist FOLDER
"""

import gzip
import pathlib
import struct
import sys

PARTS = {"train": "train", "test": "t10k"}
ROWS_OF_A_CLASS = 20


def read(folder, part):
    """The pictures of a part and their classes, each as bytes."""
    with gzip.open(folder / f"{PARTS[part]}-images-idx3-ubyte.gz") as file:
        _, count, height, width = struct.unpack(">4I", file.read(16))
        assert (height, width) == (28, 28)
        pixels = file.read()
    with gzip.open(folder / f"{PARTS[part]}-labels-idx1-ubyte.gz") as file:
        classes = file.read()[8:]
    return [pixels[i * 784:(i + 1) * 784] for i in range(count)], classes


def write(folder, part, pictures, classes):
    folder.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">4I", 0x803, len(pictures), 28, 28)
    (folder / f"{part}-images").write_bytes(header + b"".join(pictures))
    (folder / f"{part}-labels").write_bytes(struct.pack(">2I", 0x801, len(classes)) + bytes(classes))


def main():
    source, target = map(pathlib.Path, sys.argv[1:])
    for part in PARTS:
        pictures, classes = read(source, part)
        first = [i for i, label in enumerate(classes) if label < 5]
        write(target / "first", part, [pictures[i] for i in first], [classes[i] for i in first])
        rows = [i for i, label in enumerate(classes) if label >= 5]
        if part == "train":
            rows = [i for label in range(5, 10)
                    for i in [i for i in rows if classes[i] == label][:ROWS_OF_A_CLASS]]
        write(target / "second", part, [pictures[i] for i in rows], [classes[i] - 5 for i in rows])


if __name__ == "__main__":
    main()

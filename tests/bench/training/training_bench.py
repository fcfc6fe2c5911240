"""slipway-trainer beside PyTorch in Python, in one run: the time of an epoch of the same models on the
same rows of Fashion-MNIST, and what checkpoints and a second process cost.

    training_bench.py TRAINER DATASET [--turns 5] [--rows 8192] [--threads 2] [--models cnn,lstm,...]

PyTorch runs eagerly and by torch.compile, both with its data in memory as float32, channels-last
weights and pictures, and the fused Adam. The trainer is the program that the platform launches: its
epochs hold all that it does (order of rows, reports, checkpoints, charts). The three take turns; each
turn is three epochs, of which the last two count. Medians over the turns."""

import argparse
import gzip
import json
import os
import pathlib
import statistics
import struct
import subprocess
import tempfile
import time
from datetime import datetime

EPOCHS = 3
RATE = 0.001


def read_idx(path):
    data = gzip.open(path).read()
    rank = data[3]
    shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    return shape, data[4 + 4 * rank :]


def write_idx(path, shape, data):
    path.write_bytes(bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data)


class Trainer:
    """Attempts without a platform."""

    def __init__(self, program, folder, threads):
        self.program, self.folder, self.threads, self.runs = program, folder, threads, 0

    def start(self, architecture, batch, epochs=EPOCHS, threads=None, **more):
        self.runs += 1
        run = self.folder / f"run-{self.runs}"
        spec = {
            "model": "m",
            "dataset": "d",
            "data": {
                "format": "idx",
                "train": {"inputs": "images", "targets": "labels"},
                "test": {"inputs": "test-images", "targets": "test-labels"},
                "scale": 255,
            },
            "architecture": architecture,
            "loss": {"type": "cross_entropy"},
            "optimizer": {"type": "adam", "learning_rate": RATE},
            "training": {"epochs": epochs, "batch_size": batch, "seed": 1},
            "resources": {"threads": threads or self.threads},
        }
        for key, value in more.items():
            spec.setdefault(key, {}).update(value)
        run.mkdir()
        attempt = {
            "job": "tenants/t/jobs/j",
            "attempt": 1,
            "checkpoint_dir": str(run / "checkpoints"),
            "dataset": {"digest": "sha256:0"},
            "spec": spec,
        }
        (run / "attempt.json").write_text(json.dumps(attempt))
        command = [self.program, "--attempt", run / "attempt.json"]
        command += ["--data", self.folder / "data", "--output", run / "out"]
        with open(run / "log", "wb") as log:
            return run, subprocess.Popen(command, stdout=log, stderr=log)

    @staticmethod
    def finish(started):
        """When each epoch ended, and its loss."""
        run, process = started
        if process.wait() != 0:
            raise SystemExit((run / "log").read_text())
        ends, losses = [], []
        for line in (run / "out" / "events.jsonl").read_text().splitlines():
            event = json.loads(line)
            text = event.get("log", {}).get("text", "")
            if text.startswith("epoch "):
                at = event["time"].rstrip("Z").ljust(26, "0")[:26]
                at = at if "." in event["time"] else event["time"].rstrip("Z")
                ends.append(datetime.fromisoformat(at).timestamp())
                losses.append(float(text.split("loss ")[1].split(",")[0]))
        return ends, losses

    def epoch(self, *args, **kwargs):
        """Seconds of an epoch but the first, and the last loss."""
        ends, losses = self.finish(self.start(*args, **kwargs))
        return (ends[-1] - ends[0]) / (len(ends) - 1), losses[-1]


def torch_models():
    import torch
    from torch import nn

    class Cnn(nn.Sequential):
        def __init__(self):
            super().__init__(
                nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.MaxPool2d(2), nn.ReLU(),
                nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.MaxPool2d(2), nn.ReLU(),
                nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10))  # fmt: skip

    class Lstm(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(28, 128, batch_first=True)
            self.head = nn.Linear(128, 10)

        def forward(self, x):
            return self.head(self.lstm(x)[1][0][0])

    class Encoder(nn.Module):
        def __init__(self, width=64, layers=2, heads=4, feed_forward=256):
            super().__init__()
            self.embedding = nn.Linear(28, width)
            self.positions = nn.Parameter(torch.randn(28, width) * 0.02)
            self.dropout = nn.Dropout(0.1)
            self.layers = nn.ModuleList(
                nn.TransformerEncoderLayer(width, heads, feed_forward, 0.1, "gelu",
                                           batch_first=True, norm_first=True)
                for _ in range(layers))  # fmt: skip
            for layer in self.layers:  # as ours: no dropout of attention weights, nor inside
                layer.self_attn.dropout = 0.0
                layer.dropout = nn.Identity()
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, 10)

        def forward(self, x):
            x = self.dropout(self.embedding(x) + self.positions)
            for layer in self.layers:
                x = layer(x)
            return self.head(self.norm(x).mean(1))

    encoder = {"type": "transformer_encoder", "width": 64, "heads": 4, "feed_forward": 256}
    return {
        "cnn": (Cnn, {"type": "cnn", "channels": [16, 32], "hidden": [128]}),
        "lstm": (Lstm, {"type": "lstm", "hidden": 128}),
        "transformer": (Encoder, encoder),
    }


class Peer:
    """The same in Python."""

    def __init__(self, make, batch, images, labels, compiled):
        import torch

        torch.manual_seed(1)
        self.torch, self.batch, self.y = torch, batch, labels
        self.model = make()
        pictures = any(isinstance(layer, torch.nn.Conv2d) for layer in self.model.modules())
        self.x = images[:, None] if pictures else images
        if pictures:
            self.x = self.x.contiguous(memory_format=torch.channels_last)
            self.model = self.model.to(memory_format=torch.channels_last)
        self.forward = torch.compile(self.model) if compiled else self.model
        self.optimizer = torch.optim.Adam(self.model.parameters(), RATE, fused=True)
        self.loss = None
        self.epoch()  # compiles

    def epoch(self):
        torch, total = self.torch, 0.0
        order = torch.randperm(len(self.y))
        for rows in order.split(self.batch):
            self.optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(self.forward(self.x[rows]), self.y[rows])
            loss.backward()
            self.optimizer.step()
            total += loss.item() * len(rows)
        self.loss = total / len(self.y)

    def turn(self):
        self.epoch()
        begun = time.perf_counter()
        for _ in range(EPOCHS - 1):
            self.epoch()
        return (time.perf_counter() - begun) / (EPOCHS - 1)


def ratio(ours, others):
    """The median of ours over the better of the others, pair by pair."""
    return statistics.median(a / b for a, b in zip(ours, others))


def compare(trainer, images, labels, args):
    for name, (make, architecture) in torch_models().items():
        if name not in args.models:
            continue
        for batch in (64, 256):
            peers = {kind: Peer(make, batch, images, labels, kind == "compile") for kind in ("eager", "compile")}
            times = {"ours": [], "eager": [], "compile": []}
            for _ in range(args.turns):
                seconds, loss = trainer.epoch(architecture, batch)
                times["ours"].append(seconds)
                for kind, peer in peers.items():
                    times[kind].append(peer.turn())
            medians = {kind: statistics.median(values) for kind, values in times.items()}
            better = min("eager", "compile", key=medians.get)
            print(
                f"{name} batch {batch}: epoch of {args.rows} rows: "
                + ", ".join(f"{kind} {seconds:.3f} s" for kind, seconds in medians.items())
                + f"; {ratio(times['ours'], times['eager']):.2f} of eager, "
                + f"{ratio(times['ours'], times[better]):.2f} of the better (target 1.00); "
                + f"loss {loss:.3f} after {EPOCHS} epochs, eager "
                + f"{peers['eager'].loss:.3f} after {1 + EPOCHS * args.turns}",
                flush=True,
            )


def checkpoints(trainer, args):
    """What a checkpoint every 100 steps costs."""
    architecture = torch_models()["cnn"][1]
    with_, without = [], []
    for _ in range(args.turns):
        with_.append(trainer.epoch(architecture, 64, epochs=6, checkpoint={"every_steps": 100})[0])
        without.append(trainer.epoch(architecture, 64, epochs=6, checkpoint={"every_steps": 10**9})[0])
    print(f"a checkpoint every 100 steps: {ratio(with_, without) - 1:+.1%} of step time (target 2%)", flush=True)


def processes(trainer, args):
    """Two processes of a job, 64 rows each, beside two jobs of one process each."""
    architecture = torch_models()["cnn"][1]
    shares = []
    for _ in range(args.turns):
        two, _ = trainer.epoch(architecture, 128, epochs=6, threads=1, resources={"processes": 2})
        pair = [trainer.start(architecture, 64, epochs=6, threads=1) for _ in range(2)]
        alone = []
        for started in pair:
            ends, _ = trainer.finish(started)
            alone.append((ends[-1] - ends[0]) / (len(ends) - 1))
        # Rows a second of the one job against those of the two together.
        shares.append((1 / two) / sum(1 / seconds for seconds in alone))
    print(f"two processes: {statistics.median(shares):.1%} of two jobs of one thread (target 95%)", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("trainer")
    parser.add_argument("dataset", type=pathlib.Path)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", default="cnn,lstm,transformer")
    parser.add_argument("--skip", default="")
    args = parser.parse_args()
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # read when torch is loaded
    import torch

    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / "data"
        data.mkdir()
        for ours, theirs, rows in (("", "train", args.rows), ("test-", "t10k", 1000)):
            for kind, file in (("images", "images-idx3"), ("labels", "labels-idx1")):
                shape, values = read_idx(args.dataset / f"{theirs}-{file}-ubyte.gz")
                size = len(values) // shape[0]
                write_idx(data / f"{ours}{kind}", (rows, *shape[1:]), values[: rows * size])
        bytes_of = lambda name, skip: bytearray((data / name).read_bytes()[skip:])
        images = torch.frombuffer(bytes_of("images", 16), dtype=torch.uint8).view(-1, 28, 28).float() / 255
        labels = torch.frombuffer(bytes_of("labels", 8), dtype=torch.uint8).long()
        trainer = Trainer(args.trainer, pathlib.Path(folder), args.threads)
        if "peers" not in args.skip:
            compare(trainer, images, labels, args)
        if "checkpoints" not in args.skip:
            checkpoints(trainer, args)
        if "processes" not in args.skip:
            processes(trainer, args)


if __name__ == "__main__":
    main()

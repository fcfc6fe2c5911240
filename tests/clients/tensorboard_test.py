"""TensorBoard, unmodified, opens what a trainer wrote, also one that was killed and went on:
`tensorboard_test.py TRAINER`, where TRAINER is slipway-trainer."""

import io
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import unittest
import urllib.parse
import urllib.request

import PIL.Image

SPEC = {
    "model": "m",
    "dataset": "d",
    "data": {
        "format": "idx",
        "train": {"inputs": "images", "targets": "labels"},
        "test_fraction": 0.2,
        "validation_fraction": 0.1,
        "scale": 255,
    },
    "architecture": {"type": "cnn", "channels": [4], "hidden": [8]},
    "loss": {"type": "cross_entropy"},
    "optimizer": {"type": "adam", "learning_rate": 0.01},
    "schedule": {"type": "cosine"},
    "training": {"epochs": 4, "batch_size": 16, "seed": 1},
    "resources": {"threads": 1},
}
ROWS = 400


def write_data(folder):
    pixels = bytearray()
    labels = bytearray()
    for row in range(ROWS):
        label = row % 4
        pixels += bytes(200 if p // 16 == label else (row + p) % 60 for p in range(64))
        labels.append(label)
    with open(os.path.join(folder, "images"), "wb") as file:
        file.write(struct.pack(">4B3I", 0, 0, 8, 3, ROWS, 8, 8) + pixels)
    with open(os.path.join(folder, "labels"), "wb") as file:
        file.write(struct.pack(">4BI", 0, 0, 8, 1, ROWS) + labels)


class TensorBoardTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        root = cls.folder.name
        data = os.path.join(root, "data")
        os.mkdir(data)
        write_data(data)
        attempt = os.path.join(root, "attempt.json")
        with open(attempt, "w") as file:
            json.dump({"job": "tenants/t/jobs/j", "attempt": 1, "dataset": {"digest": "sha256:1"},
                       "checkpoint_dir": os.path.join(root, "checkpoints"), "spec": SPEC}, file)
        output = os.path.join(root, "output")
        command = [sys.argv[1], "--attempt", attempt, "--data", data, "--output", output]
        first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        events = os.path.join(output, "events.jsonl")
        while first.poll() is None:
            if os.path.exists(events) and '"checkpoint"' in open(events).read():
                break
        first.kill()
        first.wait()
        first.stdout.close()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.result = json.load(open(os.path.join(output, "result.json")))
        cls.server = subprocess.Popen(
            [sys.executable, "-m", "tensorboard.main", "--logdir",
             os.path.join(output, "about"), "--host", "127.0.0.1", "--port", "0",
             "--load_fast", "false", "--reload_interval", "0"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in cls.server.stderr:
            found = re.search(r"(http://127\.0\.0\.1:\d+/)", line)
            if found:
                cls.url = found.group(1)
                break

    @classmethod
    def tearDownClass(cls):
        cls.server.kill()
        cls.server.wait()
        cls.server.stderr.close()
        cls.folder.cleanup()

    def get(self, path, body=None, **query):
        url = self.url + "data/" + path
        if query:
            url += "?" + urllib.parse.urlencode(query)
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"content-type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return answer.read().decode()

    def test_the_curves_have_each_epoch_once(self):
        tags = json.loads(self.get("plugin/scalars/tags"))["tensorboard"]
        for tag in ("train/loss", "train/accuracy", "validation/loss", "learning_rate"):
            self.assertIn(tag, tags)
            points = json.loads(self.get("plugin/scalars/scalars", run="tensorboard", tag=tag))
            self.assertEqual([step for _, step, _ in points], [18, 36, 54, 72])

    def test_the_test_parts_metrics_are_those_of_the_version(self):
        points = json.loads(
            self.get("plugin/scalars/scalars", run="tensorboard", tag="test/accuracy"))
        self.assertAlmostEqual(points[-1][2], self.result["metrics"]["accuracy"], places=6)

    def test_the_parameters_are_histograms(self):
        tags = json.loads(self.get("plugin/histograms/tags"))["tensorboard"]
        weights = [tag for tag in tags if tag.endswith(".weight")]
        self.assertTrue(weights)
        points = json.loads(
            self.get("plugin/histograms/histograms", run="tensorboard", tag=weights[0]))
        # 4 channels of a 3 x 3 window over one.
        self.assertEqual(sum(bucket[2] for bucket in points[-1][2]), 36)

    def test_the_first_pictures_are_shown(self):
        images = json.loads(
            self.get("plugin/images/images", run="tensorboard", tag="train/pictures", sample="0"))
        url = self.url + "data/plugin/images/individualImage?" + images[0]["query"]
        with urllib.request.urlopen(url) as answer:
            picture = PIL.Image.open(io.BytesIO(answer.read()))
        # Four across and four down.
        self.assertEqual(picture.size, (32, 32))
        # A bright band of two rows of eight pixels says the label.
        self.assertEqual(max(picture.getdata()), 200)

    def test_the_network_is_a_graph(self):
        graph = self.get("plugin/graphs/graph", run="tensorboard", conceptual="false")
        for op in ("Placeholder", "Conv", "Gemm", "Softmax"):
            self.assertIn('op: "%s"' % op, graph)

    def test_the_spec_is_there_as_hyperparameters(self):
        experiment = json.loads(self.get("plugin/hparams/experiment", body={}))
        names = [info["name"] for info in experiment["hparamInfos"]]
        self.assertIn("optimizer.learning_rate", names)
        groups = json.loads(self.get("plugin/hparams/session_groups", body={
            "startIndex": 0, "sliceSize": 10, "colParams": [],
            "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_RUNNING"]}))
        self.assertEqual(groups["sessionGroups"][0]["hparams"]["optimizer.learning_rate"], 0.01)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

"""A public load generator, unmodified, against the real gateway in front of a real worker:
`load_generator_test.py SERVING FOLDER`, where SERVING is slipway-test-serving and FOLDER holds what
deploy/bootstrap unpacks for it."""

import csv
import glob
import json
import os
import subprocess
import sys
import tempfile
import unittest


class LoadGeneratorTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.process = subprocess.Popen([SERVING], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        cls.serving = json.loads(cls.process.stdout.readline())
        cls.folder = tempfile.TemporaryDirectory()
        with open(cls.path("calls.json"), "w", encoding="ascii") as file:
            json.dump({"data": [{"x": [float(number) for number in cls.serving["row"]]}]}, file)

    @classmethod
    def tearDownClass(cls):
        cls.process.stdin.close()
        cls.process.wait(60)
        cls.process.stdout.close()
        cls.folder.cleanup()

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder.name, name)

    def measure(self, *options, model="mlp"):
        # One measurement: figures that agree with each other are not to be had on a shared machine.
        return subprocess.run(
            [PERF_ANALYZER, "-m", model, "-u", self.serving["address"],
             "-H", "authorization: Bearer " + self.serving["key"],
             "--input-data", self.path("calls.json"), "--request-count", "200",
             "--max-trials", "1", "-f", self.path("report.csv"), *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)

    def expect_served(self, *options, load=("--concurrency-range", "4")):
        with self.subTest(options):
            run = self.measure(*options, *load)
            self.assertEqual(run.returncode, 0, run.stdout)
            with open(self.path("report.csv"), encoding="ascii") as file:
                (row,) = csv.DictReader(file)
            self.assertGreater(float(row["Inferences/Second"]), 0)
            # It asks for statistics around its calls, and reports what the server says it did.
            self.assertGreater(float(row["Server Compute Infer"]), 0)

    def test_http(self):
        self.expect_served("-i", "http")
        self.expect_served("-i", "http", "--async")
        self.expect_served("-i", "http", "-b", "8")
        self.expect_served("-i", "http", "--input-tensor-format", "json",
                           "--output-tensor-format", "json")

    def test_grpc(self):
        self.expect_served("-i", "grpc")
        self.expect_served("-i", "grpc", "--async")
        self.expect_served("-i", "grpc", "--async", "--streaming")
        self.expect_served("-i", "grpc", "--grpc-compression-algorithm", "gzip", "-b", "8")

    def test_at_random_times(self):
        self.expect_served("-i", "grpc", load=("--request-rate-range", "200",
                                               "--request-distribution", "poisson"))

    def test_says_why_it_cannot(self):
        run = self.measure("-i", "grpc", model="nothing")
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("nothing", run.stdout)


if __name__ == "__main__":
    SERVING, FOLDER = sys.argv[1:3]
    (PERF_ANALYZER,) = glob.glob(FOLDER + "/*/data/bin/perf_analyzer")
    os.environ["LD_LIBRARY_PATH"] = FOLDER + "/nvidia/cuda_runtime/lib"
    unittest.main(argv=sys.argv[:1])

"""tritonclient's sequences, unmodified, over HTTP, gRPC and its stream, against the real gateway in
front of a real worker with a model that keeps a state (tests/fixtures/models/pump):
`sequence_clients_test.py SERVING STREAM`, where SERVING is slipway-test-serving and STREAM the
recorded stream with ONNX Runtime's scores."""

import csv
import json
import queue
import subprocess
import sys
import unittest

import numpy
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

MODEL = "pump"
SERVING = None
READINGS = []
SCORES = []


def setUpModule():
    global SERVING
    process = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    SERVING = json.loads(process.stdout.readline())
    SERVING["process"] = process
    with open(sys.argv[2], newline="") as file:
        for row in list(csv.reader(file))[1:]:
            READINGS.append(numpy.array([row[1:5]], dtype=numpy.float32))
            SCORES.append(float(row[5]))


def tearDownModule():
    SERVING["process"].stdin.close()
    SERVING["process"].wait(60)
    SERVING["process"].stdout.close()


# Made for each call: tritonclient writes into what it is given.
def headers():
    return {"authorization": "Bearer " + SERVING["key"]}


def steps():
    """Each reading, and where in its sequence it is."""
    for i, reading in enumerate(READINGS):
        yield reading, {"sequence_start": i == 0, "sequence_end": i == len(READINGS) - 1}


class SequenceTest(unittest.TestCase):
    def setUp(self):
        self.http = tritonclient.http.InferenceServerClient(SERVING["address"])
        self.grpc = tritonclient.grpc.InferenceServerClient(SERVING["address"])

    def tearDown(self):
        self.http.close()
        self.grpc.close()

    def infer(self, client, module, reading, **sequence):
        tensor = module.InferInput("reading", [1, 4], "FP32")
        tensor.set_data_from_numpy(reading)
        return client.infer(MODEL, [tensor], headers=headers(), **sequence)

    def expect_all(self, scores):
        numpy.testing.assert_allclose(scores, SCORES, rtol=1e-3, atol=1e-3)

    def test_over_http_and_grpc(self):
        for client, module in ((self.http, tritonclient.http), (self.grpc, tritonclient.grpc)):
            for sequence_id in (42, "pump-1"):
                self.expect_all([
                    self.infer(client, module, reading, sequence_id=sequence_id, **step)
                    .as_numpy("score").item() for reading, step in steps()])

    def test_over_a_stream(self):
        answers = queue.Queue()
        self.grpc.start_stream(lambda result, error: answers.put((result, error)),
                               headers=headers())
        for reading, step in steps():
            for sequence_id in (1, 2):
                tensor = tritonclient.grpc.InferInput("reading", [1, 4], "FP32")
                tensor.set_data_from_numpy(reading)
                self.grpc.async_stream_infer(MODEL, [tensor], sequence_id=sequence_id,
                                             request_id=str(sequence_id), **step)
        scores = {"1": [], "2": []}
        for _ in range(2 * len(READINGS)):
            result, error = answers.get(timeout=60)
            self.assertIsNone(error)
            scores[result.get_response().id].append(result.as_numpy("score").item())
        self.grpc.stop_stream()
        self.expect_all(scores["1"])
        self.expect_all(scores["2"])

    def test_what_is_not_known_is_told(self):
        for client, module in ((self.http, tritonclient.http), (self.grpc, tritonclient.grpc)):
            with self.assertRaisesRegex(InferenceServerException, "sequence 7 is not known"):
                self.infer(client, module, READINGS[0], sequence_id=7)
            with self.assertRaisesRegex(InferenceServerException, "sequence_id: is missing"):
                self.infer(client, module, READINGS[0])
        tensor = tritonclient.http.InferInput("x", [1, 4], "FP32")
        tensor.set_data_from_numpy(READINGS[0])
        with self.assertRaisesRegex(InferenceServerException, "keeps no state"):
            self.http.infer("mlp", [tensor], headers=headers(), sequence_id=7,
                            sequence_start=True)

    def test_the_configuration_names_the_states(self):
        config = self.http.get_model_config(MODEL, headers=headers())
        self.assertEqual([state["input_name"] for state in config["sequence_batching"]["state"]],
                         ["mean", "variance", "count"])
        inputs = self.http.get_model_metadata(MODEL, headers=headers())["inputs"]
        self.assertEqual([each["name"] for each in inputs], ["reading"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

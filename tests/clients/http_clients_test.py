"""Public clients of the Open Inference Protocol over HTTP, unmodified, against the real gateway in
front of a real worker: `http_clients_test.py SERVING`, where SERVING is slipway-test-serving."""

import asyncio
import json
import subprocess
import sys
import unittest

import numpy
import tritonclient.http
import tritonclient.http.aio
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from tritonclient.utils import InferenceServerException

MODEL = "mlp"
SERVING = None


def setUpModule():
    global SERVING
    process = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    SERVING = json.loads(process.stdout.readline())
    SERVING["process"] = process


def tearDownModule():
    SERVING["process"].stdin.close()
    SERVING["process"].wait(60)
    SERVING["process"].stdout.close()


# Made for each call: tritonclient writes into what it is given.
def headers(key="key"):
    return {"Authorization": "Bearer " + SERVING[key]}


def row():
    return numpy.array([SERVING["row"]], dtype=numpy.float32)


class TritonHttpTest(unittest.TestCase):
    def setUp(self):
        self.client = tritonclient.http.InferenceServerClient(SERVING["address"], concurrency=4)

    def tearDown(self):
        self.client.close()

    def inputs(self, binary=True):
        tensor = tritonclient.http.InferInput("x", [1, 4], "FP32")
        tensor.set_data_from_numpy(row(), binary_data=binary)
        return [tensor]

    def expect(self, result):
        numpy.testing.assert_allclose(
            result.as_numpy("probabilities"), [SERVING["answer"]], rtol=1e-4)

    def test_health_and_metadata(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        self.assertTrue(self.client.is_model_ready(MODEL, headers=headers()))
        self.assertTrue(self.client.is_model_ready(MODEL, "1", headers=headers()))
        self.assertFalse(self.client.is_model_ready(MODEL, "9", headers=headers()))
        server = self.client.get_server_metadata(headers=headers())
        self.assertIn("binary_tensor_data", server["extensions"])
        model = self.client.get_model_metadata(MODEL, headers=headers())
        self.assertEqual(model["inputs"], [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}])

    def test_config_and_statistics(self):
        config = self.client.get_model_config(MODEL, headers=headers())
        self.assertEqual(config["input"][0]["name"], "x")
        self.client.infer(MODEL, self.inputs(), headers=headers())
        for stats in (self.client.get_inference_statistics(MODEL, headers=headers()),
                      self.client.get_inference_statistics(headers=headers())):
            self.assertEqual(stats["model_stats"][0]["name"], MODEL)
            self.assertGreater(stats["model_stats"][0]["inference_count"], 0)

    def test_infers_in_json_and_in_binary(self):
        for binary_in in (True, False):
            for outputs in (None,
                            [tritonclient.http.InferRequestedOutput("probabilities")],
                            [tritonclient.http.InferRequestedOutput(
                                "probabilities", binary_data=False)]):
                result = self.client.infer(MODEL, self.inputs(binary_in), outputs=outputs,
                                           request_id="r-1", headers=headers())
                self.expect(result)
                self.assertEqual(result.get_response()["id"], "r-1")
                self.assertEqual(result.get_response()["model_version"], "1")

    def test_infers_with_a_version_and_parameters(self):
        self.expect(self.client.infer(MODEL, self.inputs(), model_version="1", priority=1,
                                      parameters={"custom": "kept"}, headers=headers()))

    def test_compression(self):
        for coding in ("gzip", "deflate"):
            for binary in (True, False):
                self.expect(self.client.infer(
                    MODEL, self.inputs(binary), headers=headers(),
                    request_compression_algorithm=coding, response_compression_algorithm=coding))

    def test_classification(self):
        output = tritonclient.http.InferRequestedOutput("probabilities", class_count=2)
        result = self.client.infer(MODEL, self.inputs(), outputs=[output], headers=headers())
        best = int(numpy.argmax(SERVING["answer"]))
        first = result.as_numpy("probabilities").flatten()[0].decode()
        self.assertEqual(first.split(":")[1], str(best))

    def test_async_and_keep_alive(self):
        pending = [self.client.async_infer(MODEL, self.inputs(), headers=headers())
                   for _ in range(40)]
        for request in pending:
            self.expect(request.get_result())

    def test_errors(self):
        wrong = tritonclient.http.InferInput("y", [1, 4], "FP32")
        wrong.set_data_from_numpy(row())
        with self.assertRaisesRegex(InferenceServerException, "y") as raised:
            self.client.infer(MODEL, [wrong], headers=headers())
        self.assertEqual(raised.exception.status(), "400")
        with self.assertRaisesRegex(InferenceServerException, "not found"):
            self.client.infer("nothing", self.inputs(), headers=headers())
        with self.assertRaises(InferenceServerException):
            self.client.infer(MODEL, self.inputs())

    def test_model_control(self):
        index = self.client.get_model_repository_index(headers=headers("operator_key"))
        self.assertEqual(index[0]["name"], "tenants/acme/deployments/mlp")
        self.assertEqual(index[0]["state"], "READY")
        self.client.load_model(index[0]["name"], headers=headers("operator_key"))
        with self.assertRaises(InferenceServerException):
            self.client.get_model_repository_index(headers=headers())


class TritonHttpAioTest(unittest.IsolatedAsyncioTestCase):
    async def test_infers(self):
        async with tritonclient.http.aio.InferenceServerClient(SERVING["address"]) as client:
            self.assertTrue(await client.is_server_ready())
            tensor = tritonclient.http.aio.InferInput("x", [1, 4], "FP32")
            tensor.set_data_from_numpy(row())
            results = await asyncio.gather(*[
                client.infer(MODEL, [tensor], headers=headers()) for _ in range(10)])
            for result in results:
                numpy.testing.assert_allclose(
                    result.as_numpy("probabilities"), [SERVING["answer"]], rtol=1e-4)


class KserveTest(unittest.IsolatedAsyncioTestCase):
    async def test_infers(self):
        client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
        url = "http://" + SERVING["address"]
        self.assertTrue(await client.is_server_live(url, headers=headers()))
        self.assertTrue(await client.is_server_ready(url, headers=headers()))
        self.assertTrue(await client.is_model_ready(url, MODEL, headers=headers()))
        for binary in (False, True):
            tensor = InferInput("x", [1, 4], "FP32")
            tensor.set_data_from_numpy(row(), binary_data=binary)
            request = InferRequest(model_name=MODEL, infer_inputs=[tensor])
            answer = await client.infer(url, request, headers=headers(), model_name=MODEL)
            numpy.testing.assert_allclose(
                answer.outputs[0].as_numpy().flatten(), SERVING["answer"], rtol=1e-4)
        await client.close()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

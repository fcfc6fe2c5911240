"""LitServe with batching and one worker; HTTP on the given port, pictures as base64 in JSON."""

import base64
import sys

import litserve
import numpy

from onnx_session import Model


class Cnn(litserve.LitAPI):
    def setup(self, device):
        self.run = Model(sys.argv[1])

    def decode_request(self, request):
        bytes_of = base64.b64decode(request["x"])
        return numpy.frombuffer(bytes_of, numpy.float32).reshape(28, 28)

    def batch(self, inputs):
        return numpy.stack(inputs)

    def predict(self, pictures):
        return self.run(pictures)

    def unbatch(self, outputs):
        return list(outputs)

    def encode_response(self, output):
        return {"y": output.tolist()}


if __name__ == "__main__":
    api = Cnn(max_batch_size=64, batch_timeout=0.001)
    litserve.LitServer(api, accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", generate_client_file=False
    )

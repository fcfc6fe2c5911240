"""MLServer with adaptive batching, the model in its own process; gRPC on the given port."""

import asyncio
import sys

from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceResponse

from onnx_session import Model


class Cnn(MLModel):
    async def load(self):
        self.run = Model(self.settings.parameters.uri)
        return True

    async def predict(self, payload):
        pictures = NumpyCodec.decode_input(payload.inputs[0])
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("y", self.run(pictures))]
        )


async def main(path, port):
    server = MLServer(
        Settings(
            host="127.0.0.1",
            http_port=0,
            metrics_port=0,
            metrics_endpoint=None,
            grpc_port=port,
            parallel_workers=0,
        )
    )
    await server.start(
        [
            ModelSettings(
                name="cnn",
                implementation=Cnn,
                max_batch_size=64,
                max_batch_time=0.001,
                parameters=ModelParameters(uri=path),
            )
        ]
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))

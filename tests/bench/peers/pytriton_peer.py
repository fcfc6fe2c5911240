"""PyTriton with Triton's dynamic batcher; gRPC on the given port."""

import sys

import numpy
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from onnx_session import Model

model = Model(sys.argv[1])
port = int(sys.argv[2])


@batch
def infer(x):
    return {"y": model(x)}


config = TritonConfig(
    grpc_address="127.0.0.1",
    grpc_port=port,
    allow_http=False,
    allow_metrics=False,
    log_verbose=0,
)
with Triton(config=config) as triton:
    triton.bind(
        model_name="cnn",
        infer_func=infer,
        inputs=[Tensor(name="x", dtype=numpy.float32, shape=(28, 28))],
        outputs=[Tensor(name="y", dtype=numpy.float32, shape=(10,))],
        config=ModelConfig(
            max_batch_size=64, batcher=DynamicBatcher(max_queue_delay_microseconds=100)
        ),
    )
    triton.serve()

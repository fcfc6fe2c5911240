#!/usr/bin/env python3
"""The public gRPC clients of the inference protocol, unmodified, against a running gateway or
worker. grpc_clients.py NAME runs one of the functions below; the test (grpc_clients_test.cc) starts the
servers and says where they are:

    GATEWAY    host:port of the gateway's public listener
    KEY        an API key of tenant acme, which has the models
                 identity (version 1: one input of each datatype, shape [-1, 2], given back)
                 image (version 1: "pixels" FP32 [-1, 3, 224, 224], given back)
    OPERATOR   an operator's key
    WORKER     a worker's own address
    TOKEN      what the gateway shows the worker for tenant acme
"""

import asyncio
import os
import queue
import sys
import threading

import grpc
import ml_dtypes
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

GATEWAY = os.environ["GATEWAY"]
AUTH = {"authorization": "Bearer " + os.environ["KEY"]}
METADATA = tuple(AUTH.items())

NUMPY = {"BOOL": np.bool_, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32,
         "INT64": np.int64, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32,
         "UINT64": np.uint64, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64}


def client(**options):
    return triton.InferenceServerClient(GATEWAY, **options)


def tensor(name, array, datatype):
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def one_of_each_type(rows=3):
    """Inputs of model `identity`, and the arrays that they hold."""
    rng = np.random.default_rng(7)
    inputs, arrays = [], {}
    for datatype, dtype in NUMPY.items():
        array = rng.integers(0, 2 if datatype == "BOOL" else 100, (rows, 2)).astype(dtype)
        name = "in_" + datatype
        inputs.append(tensor(name, array, datatype))
        arrays[name] = array
    array = np.array([[1.5, -2], [0, 3], [0.5, 64]], ml_dtypes.bfloat16)[:rows]
    inputs.append(tensor("in_BF16", array, "BF16"))
    arrays["in_BF16"] = array
    array = np.array([[b"", "caf\u00e9".encode()], [b"\x00\xff", b"x" * 70000], [b"a", b"b"]],
                     dtype=object)[:rows]
    inputs.append(tensor("in_BYTES", array, "BYTES"))
    arrays["in_BYTES"] = array
    return inputs, arrays


def expect_same(result, arrays):
    for name, array in arrays.items():
        got = result.as_numpy(name)
        assert got is not None and got.shape == array.shape, (name, got)
        assert np.array_equal(got, array), (name, got, array)


def expect_error(call, code, text=""):
    try:
        call()
    except InferenceServerException as error:
        assert error.status() == "StatusCode." + code, (error.status(), error.message())
        assert text in error.message(), error.message()
        return
    raise AssertionError(f"expected {code}, and it was answered")


def tells_of_itself_and_its_models():
    with client() as c:
        assert c.is_server_live()
        assert c.is_server_ready()
        assert c.get_server_metadata(headers=AUTH).name == "slipway"
        assert c.is_model_ready("identity", headers=AUTH)
        assert c.is_model_ready("identity", "1", headers=AUTH)
        metadata = c.get_model_metadata("identity", headers=AUTH)
        assert list(metadata.versions) == ["1"], metadata
        assert len(metadata.inputs) == 14 and list(metadata.inputs[0].shape) == [-1, 2]
        config = c.get_model_config("image", headers=AUTH).config
        assert config.name == "image" and config.max_batch_size > 0, config
        assert list(config.input[0].dims) == [3, 224, 224], config
        expect_error(lambda: c.get_model_metadata("none", headers=AUTH), "NOT_FOUND", "none")


def infers_every_datatype():
    inputs, arrays = one_of_each_type()
    with client() as c:
        result = c.infer("identity", inputs, request_id="my-id", headers=AUTH)
        expect_same(result, arrays)
        response = result.get_response()
        assert response.id == "my-id"
        assert response.model_name == "identity" and response.model_version == "1"
        assert not response.outputs[0].HasField("contents")
        expect_same(c.infer("identity", inputs, model_version="1", headers=AUTH), arrays)


def answers_only_the_outputs_that_are_asked_for():
    inputs, arrays = one_of_each_type()
    with client() as c:
        result = c.infer("identity", inputs, headers=AUTH,
                         outputs=[triton.InferRequestedOutput("in_FP32"),
                                  triton.InferRequestedOutput("in_INT64", class_count=1)])
        assert [o.name for o in result.get_response().outputs] == ["in_FP32", "in_INT64"]
        expect_same(result, {"in_FP32": arrays["in_FP32"]})
        for row, text in zip(arrays["in_INT64"], result.as_numpy("in_INT64")):
            score, index = text[0].decode().split(":")[:2]
            assert int(index) == int(np.argmax(row)) and int(score) == row.max(), text


def takes_typed_contents():
    with grpc.insecure_channel(GATEWAY) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = service_pb2.ModelInferRequest(model_name="image")
        pixels = np.linspace(0, 1, 3 * 224 * 224, dtype=np.float32)
        request.inputs.add(name="pixels", datatype="FP32", shape=[1, 3, 224, 224])
        request.inputs[0].contents.fp32_contents.extend(pixels.tolist())
        response = stub.ModelInfer(request, metadata=METADATA)
        assert response.raw_output_contents[0] == pixels.tobytes()
        # FP16 and BF16 have no typed form, and raw and typed contents exclude each other.
        request.raw_input_contents.append(pixels.tobytes())
        try:
            stub.ModelInfer(request, metadata=METADATA)
            raise AssertionError("raw and typed contents were taken together")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error


def compresses():
    pixels = np.zeros((1, 3, 224, 224), np.float32)
    with client() as c:
        for algorithm in ("gzip", "deflate"):
            result = c.infer("image", [tensor("pixels", pixels, "FP32")], headers=AUTH,
                             compression_algorithm=algorithm)
            expect_same(result, {"pixels": pixels})


def names_what_is_wrong():
    pixels = np.zeros((1, 3, 224, 224), np.float32)
    good = [tensor("pixels", pixels, "FP32")]
    with client() as c:
        infer = lambda *args, **kw: lambda: c.infer(*args, headers=AUTH, **kw)
        expect_error(infer("none", good), "NOT_FOUND", "model none")
        expect_error(infer("image", good, model_version="7"), "NOT_FOUND", "version 7")
        expect_error(infer("image", []), "INVALID_ARGUMENT", "inputs.pixels")
        expect_error(infer("image", [tensor("pixels", pixels[0], "FP32")]), "INVALID_ARGUMENT",
                     "inputs.pixels.shape")
        expect_error(infer("image", [tensor("pixels", pixels.astype(np.int32), "INT32")]),
                     "INVALID_ARGUMENT", "inputs.pixels.datatype")
        expect_error(infer("image", [tensor("x", pixels, "FP32")]), "INVALID_ARGUMENT", "inputs.x")
        expect_error(infer("image", good, outputs=[triton.InferRequestedOutput("nothing")]),
                     "INVALID_ARGUMENT", "outputs.nothing")
        expect_error(lambda: c.infer("image", good), "UNAUTHENTICATED")
        expect_error(lambda: c.infer("image", good, headers={"x-api-key": "wrong"}),
                     "UNAUTHENTICATED")
        # And it serves on, by the other carrier of a key too.
        expect_same(c.infer("image", good, headers={"x-api-key": os.environ["KEY"]}),
                    {"pixels": pixels})


def infers_asynchronously_with_keepalive():
    pixels = np.ones((2, 3, 224, 224), np.float32)
    options = triton.KeepAliveOptions(keepalive_time_ms=1000, keepalive_timeout_ms=5000,
                                      keepalive_permit_without_calls=True)
    answers = queue.Queue()
    with client(keepalive_options=options) as c:
        for _ in range(8):
            c.async_infer("image", [tensor("pixels", pixels, "FP32")],
                          lambda result, error: answers.put((result, error)), headers=AUTH)
        for _ in range(8):
            result, error = answers.get(timeout=60)
            assert error is None, error
            expect_same(result, {"pixels": pixels})


def streams():
    answers = queue.Queue()
    with client() as c:
        c.start_stream(lambda result, error: answers.put((result, error)), headers=AUTH)
        arrays = [np.full((1, 3, 224, 224), i, np.float32) for i in range(5)]
        for i, array in enumerate(arrays):
            c.async_stream_infer("image", [tensor("pixels", array, "FP32")], request_id=str(i))
        c.async_stream_infer("none", [tensor("pixels", arrays[0], "FP32")], request_id="bad")
        c.async_stream_infer("image", [tensor("pixels", arrays[1], "FP32")], request_id="last",
                             enable_empty_final_response=True)
        for i, array in enumerate(arrays):
            result, error = answers.get(timeout=60)
            assert error is None, error
            assert result.get_response().id == str(i)
            expect_same(result, {"pixels": array})
        result, error = answers.get(timeout=60)
        assert error is not None and "model none" in error.message(), error
        result, error = answers.get(timeout=60)
        assert error is None and result.get_response().id == "last"
        assert result.get_response().parameters["triton_final_response"].bool_param
        c.stop_stream()


def infers_by_asyncio():
    async def run():
        pixels = np.arange(3 * 224 * 224, dtype=np.float32).reshape(1, 3, 224, 224)
        async with triton_aio.InferenceServerClient(GATEWAY) as c:
            assert await c.is_server_live()
            results = await asyncio.gather(*(
                c.infer("image", [tensor("pixels", pixels, "FP32")], headers=AUTH)
                for _ in range(4)))
            for result in results:
                expect_same(result, {"pixels": pixels})

            async def requests():
                for i in range(3):
                    yield {"model_name": "image", "request_id": str(i),
                           "inputs": [tensor("pixels", pixels, "FP32")]}
            i = 0
            async for result, error in c.stream_infer(requests(), headers=AUTH):
                assert error is None and result.get_response().id == str(i), error
                expect_same(result, {"pixels": pixels})
                i += 1
            assert i == 3
    asyncio.run(run())


def counts_what_was_done():
    pixels = np.zeros((2, 3, 224, 224), np.float32)
    with client() as c:
        before = c.get_inference_statistics("image", headers=AUTH).model_stats
        c.infer("image", [tensor("pixels", pixels, "FP32")], headers=AUTH)
        after = c.get_inference_statistics("image", headers=AUTH).model_stats
        assert after[0].name == "image" and after[0].version == "1"
        done = after[0].inference_count - (before[0].inference_count if before else 0)
        assert done == 2, (before, after)
        assert after[0].inference_stats.success.ns > 0
        names = {m.name for m in c.get_inference_statistics(headers=AUTH).model_stats}
        assert names == {"image", "identity"}, names


def controls_models_as_the_operator():
    operator = {"authorization": "Bearer " + os.environ["OPERATOR"]}
    with client() as c:
        expect_error(lambda: c.get_model_repository_index(headers=AUTH), "PERMISSION_DENIED")
        index = c.get_model_repository_index(headers=operator).models
        assert {(m.version, m.state) for m in index} == {("1", "READY")}, index
        c.load_model(index[0].name, headers=operator)
        c.unload_model(index[0].name, headers=operator)
        expect_error(lambda: c.load_model("tenants/none/deployments/image", headers=operator),
                     "NOT_FOUND")
        expect_error(lambda: c.unload_model(index[0].name, headers=AUTH), "PERMISSION_DENIED")


def keeps_to_the_callers_time_limit():
    with client() as c:
        pixels = np.zeros((16, 3, 224, 224), np.float32)
        expect_error(lambda: c.infer("image", [tensor("pixels", pixels, "FP32")], headers=AUTH,
                                     client_timeout=0.000001), "DEADLINE_EXCEEDED")


def reflects_itself_and_its_health():
    from google.protobuf import descriptor_pool, message_factory
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
        ProtoReflectionDescriptorDatabase)
    with grpc.insecure_channel(GATEWAY) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        assert health.Check(health_pb2.HealthCheckRequest()).status == serving
        watched = health.Watch(health_pb2.HealthCheckRequest())
        assert next(watched).status == serving
        watched.cancel()

        # As grpcurl does it: what is served, then a call made of nothing but that.
        class WithKey(grpc.StreamStreamClientInterceptor):
            def intercept_stream_stream(self, continuation, details, requests):
                return continuation(details._replace(metadata=METADATA), requests)
        with_key = grpc.intercept_channel(channel, WithKey())
        database = ProtoReflectionDescriptorDatabase(with_key)
        services = database.get_services()
        assert "inference.GRPCInferenceService" in services, services
        assert "slipway.gateway.v1.TenantService" in services, services
        assert not any("RegistryService" in s for s in services), services
        pool = descriptor_pool.DescriptorPool(database)
        method = pool.FindServiceByName("slipway.gateway.v1.TenantService").FindMethodByName(
            "GetTenant")
        request = message_factory.GetMessageClass(method.input_type)(name="tenants/-")
        answer = message_factory.GetMessageClass(method.output_type)
        get = channel.unary_unary("/slipway.gateway.v1.TenantService/GetTenant",
                                  request_serializer=lambda m: m.SerializeToString(),
                                  response_deserializer=answer.FromString)
        assert get(request, metadata=METADATA).name == "tenants/acme"


def shares_memory_with_a_worker():
    from tritonclient.utils import shared_memory as shm
    auth = {"slipway-principal": os.environ["TOKEN"]}
    model = "tenants/acme/deployments/image"
    pixels = np.random.default_rng(3).random((1, 3, 224, 224), np.float32)
    size = pixels.nbytes
    with triton.InferenceServerClient(os.environ["WORKER"]) as c:
        region = shm.create_shared_memory_region("io", f"/acme.{os.getpid()}", 2 * size)
        try:
            shm.set_shared_memory_region(region, [pixels])
            c.register_system_shared_memory("io", f"/acme.{os.getpid()}", 2 * size, headers=auth)
            status = c.get_system_shared_memory_status(headers=auth)
            assert status.regions["io"].byte_size == 2 * size, status
            given = triton.InferInput("pixels", list(pixels.shape), "FP32")
            given.set_shared_memory("io", size)
            wanted = triton.InferRequestedOutput("pixels")
            wanted.set_shared_memory("io", size, offset=size)
            result = c.infer(model, [given], outputs=[wanted], headers=auth)
            assert result.get_output("pixels").parameters["shared_memory_region"].string_param == "io"
            got = shm.get_contents_as_numpy(region, np.float32, pixels.shape, offset=size)
            assert np.array_equal(got, pixels)
            # More than the region holds.
            given.set_shared_memory("io", size, offset=2 * size)
            expect_error(lambda: c.infer(model, [given], headers=auth), "INVALID_ARGUMENT", "pixels")
            c.unregister_system_shared_memory("io", headers=auth)
            given.set_shared_memory("io", size)
            expect_error(lambda: c.infer(model, [given], headers=auth), "INVALID_ARGUMENT",
                         "not registered")
        finally:
            shm.destroy_shared_memory_region(region)


def infers_at_the_worker():
    """The same client at a worker, as the gateway speaks to it."""
    auth = {"slipway-principal": os.environ["TOKEN"]}
    inputs, arrays = one_of_each_type()
    model = "tenants/acme/deployments/identity"
    with triton.InferenceServerClient(os.environ["WORKER"]) as c:
        expect_same(c.infer(model, inputs, headers=auth), arrays)
        answers = queue.Queue()
        c.start_stream(lambda result, error: answers.put((result, error)), headers=auth)
        c.async_stream_infer(model, inputs)
        result, error = answers.get(timeout=60)
        assert error is None, error
        expect_same(result, arrays)
        c.stop_stream()
        assert c.get_model_config(model, headers=auth).config.name == model
        assert c.get_inference_statistics(model, headers=auth).model_stats[0].execution_count >= 2


if __name__ == "__main__":
    # A client that hangs is a failure, and says where.
    import faulthandler
    faulthandler.dump_traceback_later(100, exit=True)
    threading.current_thread().name = sys.argv[1]
    globals()[sys.argv[1]]()

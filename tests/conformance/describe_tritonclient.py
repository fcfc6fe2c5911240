#!/usr/bin/env python3
"""Prints what the public tritonclient wheel says of the Open Inference Protocol over gRPC: a line for
each method, field and enum value, in the form that proto_test.cc writes ours. tritonclient.txt holds
its output; make it anew when the pinned wheel changes:

    deploy/bootstrap clients
    PYTHONPATH=~/.cache/slipway/clients tests/conformance/describe_tritonclient.py \
        >tests/conformance/tritonclient.txt
"""

from google.protobuf.descriptor import FieldDescriptor
from tritonclient.grpc import model_config_pb2, service_pb2

TYPES = {getattr(FieldDescriptor, name): name[len("TYPE_"):].lower()
         for name in dir(FieldDescriptor) if name.startswith("TYPE_")}


def fields(message):
    for field in message.fields:
        words = [f"{message.full_name}.{field.name}", str(field.number),
                 "repeated" if field.is_repeated else "single", TYPES[field.type]]
        for other in (field.message_type, field.enum_type):
            if other is not None:
                words.append(other.full_name)
        if field.containing_oneof is not None:
            words.append(f"oneof:{field.containing_oneof.name}")
        yield " ".join(words)
    for enum in message.enum_types:
        yield from values(enum)
    for inner in message.nested_types:
        yield from fields(inner)


def values(enum):
    for value in enum.values:
        yield f"{enum.full_name}.{value.name} {value.number}"


def methods(service):
    for method in service.methods:
        words = [f"{service.full_name}/{method.name}"]
        for stream, message in ((method.client_streaming, method.input_type),
                                (method.server_streaming, method.output_type)):
            words.append(("stream:" if stream else "") + message.full_name)
        yield " ".join(words)


def lines():
    for file in (service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR):
        for service in file.services_by_name.values():
            yield from methods(service)
        for message in file.message_types_by_name.values():
            yield from fields(message)
        for enum in file.enum_types_by_name.values():
            yield from values(enum)


print("\n".join(sorted(lines())))

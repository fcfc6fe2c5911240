"""What a picture goes through before the models of the cascade see it, and what is made of their
answers, as ONNX models."""

import os
import sys

import onnx
from onnx import TensorProto, helper

FLOAT, INT64, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8


def numbers(name, values, datatype=INT64):
    return helper.make_tensor(name, datatype, [len(values)], values)


def save(name, nodes, inputs, outputs, constants):
    tensors = [[helper.make_tensor_value_info(*each) for each in side] for side in (inputs, outputs)]
    graph = helper.make_graph(nodes, name, *tensors, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, os.path.join(sys.argv[1], name + ".onnx"))


# Grey pictures of any size, 28 x 28 as the models were trained on.
save("prepare", [
    helper.make_node("Cast", ["photo"], ["numbers"], to=FLOAT),
    helper.make_node("Unsqueeze", ["numbers", "channel"], ["one_channel"]),
    helper.make_node("Resize", ["one_channel", "", "", "side"], ["small"], axes=[2, 3],
                     mode="linear", coordinate_transformation_mode="half_pixel"),
    helper.make_node("Squeeze", ["small", "channel"], ["grey"]),
    helper.make_node("Round", ["grey"], ["whole"]),
    helper.make_node("Cast", ["whole"], ["image"], to=UINT8),
], [("photo", UINT8, ["n", "height", "width"])], [("image", UINT8, ["n", 28, 28])],
     [numbers("channel", [1]), numbers("side", [28, 28])])

# The class that a model thinks most of, and how much.
save("verdict", [
    helper.make_node("ReduceMax", ["probabilities", "classes"], ["confidence"], keepdims=0),
    helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
], [("probabilities", FLOAT, ["n", "classes"])],
     [("confidence", FLOAT, ["n"]), ("label", INT64, ["n"])], [numbers("classes", [1])])

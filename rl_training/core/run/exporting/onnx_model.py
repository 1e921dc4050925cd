"""A policy as an ONNX model that contains the standardisation of the features. Needs the extra `export`."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rl_training.core.run.checkpoint import SavedPolicy

# The oldest operator set with every operator below, because runtimes read only models that are not newer than they are.
OPSET, IR_VERSION = 17, 8


def onnx_model(saved: SavedPolicy, described: dict[str, Any]) -> bytes:
    """Return the model of a policy that `described`, its policy.json, describes.

    Input `values`, float64 [n, D]: the features, not standardised, then the account's three entries. Outputs:
    `probabilities`, float64 [n, positions], and `target_position`, float64 [n].
    """
    graph, tensors = _Graph(), saved.policy.tensors()
    entries = described["observation"]
    for name in ("mean", "scale", "low", "high"):
        graph.constant(name, np.array([entry[name] for entry in entries]))
    graph.add("Sub", ["values", "mean"], "centred")
    graph.add("Div", ["centred", "scale"], "scaled")
    graph.add("Max", ["scaled", "low"], "above_low")
    graph.add("Min", ["above_low", "high"], "clipped")
    graph.add("Cast", ["clipped"], "observation", to=TensorProto.FLOAT)
    graph.constant("least", np.float32(-described["clip"]))
    graph.constant("most", np.float32(described["clip"]))
    found = []
    for number, member in enumerate(described["members"]):
        p = f"member.{number}."
        graph.constant(f"{p}mean", np.float32(member["mean"]))
        graph.constant(f"{p}scale", np.float32(member["scale"]))
        graph.add("Sub", ["observation", f"{p}mean"], f"{p}centred")
        graph.add("Mul", [f"{p}centred", f"{p}scale"], f"{p}scaled")
        x = graph.add("Clip", [f"{p}scaled", "least", "most"], f"{p}input")
        for layer, names in enumerate(member["layers"]):
            if layer:
                x = graph.add("Tanh", [x], f"{p}tanh.{layer}")
            for name in names:
                graph.constant(name, tensors[name].numpy())
            x = graph.add("Gemm", [x, *names], f"{p}linear.{layer}", transB=1)
        x = graph.add("Cast", [x], f"{p}logits", to=TensorProto.DOUBLE)
        found.append(graph.add("Softmax", [x], f"{p}probabilities", axis=1))
    graph.constant("count", np.float64(len(found)))
    graph.add("Sum", found, "total")
    graph.add("Div", ["total", "count"], "probabilities")
    graph.constant("positions", np.array(described["positions"]))
    graph.add("ArgMax", ["probabilities"], "action", axis=1, keepdims=0)
    graph.add("Gather", ["positions", "action"], "target_position")
    return graph.model(len(entries), len(described["positions"]))


class _Graph:
    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, name: str, value: Any) -> None:
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def model(self, size: int, positions: int) -> bytes:
        """Return the model's file, after a check of its form."""
        values = helper.make_tensor_value_info("values", TensorProto.DOUBLE, ["n", size])
        probabilities = helper.make_tensor_value_info("probabilities", TensorProto.DOUBLE, ["n", positions])
        target = helper.make_tensor_value_info("target_position", TensorProto.DOUBLE, ["n"])
        graph = helper.make_graph(self._nodes, "policy", [values], [probabilities, target], self._constants)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="quantum_trader")
        onnx.checker.check_model(model)
        data: bytes = model.SerializeToString()
        return data

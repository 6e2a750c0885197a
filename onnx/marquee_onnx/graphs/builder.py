"""A small front to `onnx.helper`: nodes return the names of their outputs, so that a graph reads like
arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnx.helper import make_tensor_value_info

from marquee_onnx import tables

OPSET = 23
IR_VERSION = 11
CONTRIB = "com.microsoft"
ELEMENT_TYPES = {"f32": TensorProto.FLOAT, "f16": TensorProto.FLOAT16}


class GraphBuilder:
    """Collects nodes and initialisers; `model` closes the graph.

    `section` goes into the names of the nodes that follow, for profiles and drawings.
    """

    def __init__(self, name: str, opset: int = OPSET) -> None:
        self.name = name
        self.opset = opset
        self.section = "embedding"
        self.nodes: list[NodeProto] = []
        self.initialisers: dict[str, TensorProto] = {}

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Append a node with one output and return that output's name."""
        return self.nodes_out(op, 1, *inputs, domain=domain, **attributes)[0]

    def nodes_out(
        self, op: str, outputs: int | list[str], *inputs: str, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Append a node with several outputs; an empty name leaves an optional output out."""
        if isinstance(outputs, int):
            outputs = [
                f"{op}_{len(self.nodes)}_{i}" if i else f"{op}_{len(self.nodes)}" for i in range(outputs)
            ]
        name = f"{self.section}/{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, outputs, name=name, domain=domain, **attributes))
        return outputs

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """An initialiser stored in the graph; asking twice for a name gives the first."""
        if name not in self.initialisers:
            self.initialisers[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def table(self, table: tables.Table) -> str:
        """An initialiser whose bytes lie in the bundle's tables file."""
        tensor = TensorProto(name=table.name, data_type=ELEMENT_TYPES[table.precision], dims=table.shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", tables.FILE), ("offset", table.offset), ("length", table.length)):
            tensor.external_data.add(key=key, value=str(value))
        self.initialisers[table.name] = tensor
        return table.name

    def rename(self, old: str, new: str) -> None:
        """Give an output of the last node the name of a graph output."""
        last = self.nodes[-1]
        last.output[list(last.output).index(old)] = new

    def model(self, inputs: list[ValueInfoProto], outputs: list[ValueInfoProto]) -> ModelProto:
        """The finished model."""
        graph = helper.make_graph(self.nodes, self.name, inputs, outputs, list(self.initialisers.values()))
        domains = {node.domain for node in self.nodes}
        imports = [helper.make_opsetid("", self.opset)]
        if CONTRIB in domains:
            imports.append(helper.make_opsetid(CONTRIB, 1))
        return helper.make_model(
            graph, opset_imports=imports, ir_version=IR_VERSION, producer_name="marquee_onnx"
        )


def encoder_inputs(batch: int | str) -> list[ValueInfoProto]:
    """The three inputs that every encoder declares."""
    return [
        make_tensor_value_info("items", TensorProto.INT64, [batch, "time"]),
        make_tensor_value_info("positions", TensorProto.INT64, [batch, "time"]),
        make_tensor_value_info("lengths", TensorProto.INT32, [batch]),
    ]


def encoder_outputs(batch: int | str, dimension: int) -> list[ValueInfoProto]:
    """The one output of every encoder."""
    return [make_tensor_value_info("user", TensorProto.FLOAT, [batch, dimension])]

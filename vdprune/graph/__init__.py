"""What a network computes, as data: no code is needed to run it."""

from vdprune.graph.graph import Graph, Node
from vdprune.graph.operations import OPERATIONS, find_shapes

__all__ = ["OPERATIONS", "Graph", "Node", "find_shapes"]

"""Rewriting matrix products of a traced graph so that they run at the library's full speed."""

from typing import Any

import torch
from torch.fx import GraphModule, Node

_BMM = torch.ops.aten.bmm.default
_TRANSPOSE = torch.ops.aten.transpose.int
_CLONE = torch.ops.aten.clone.default
_ROW_MAJOR: dict[str, Any] = {"memory_format": torch.contiguous_format}
# Floats in the widest vector register; results of another width leave it partly empty.
_VECTOR = 16


def transpose_narrow_products(module: GraphModule) -> None:
    """Compute each narrow stacked product as the transpose of a wide one, in place.

    Ten classes make products of width 10, for which the matrix library takes two to three times
    as long as for the same product transposed: 3.6 against 1.6 microseconds for 64 x 64 x 10.

    Args:
        module: A graph traced with example arguments, so that shapes are known.
    """
    graph = module.graph
    for node in graph.find_nodes(op="call_function", target=_BMM):
        if _is_narrow(node):
            left, right = node.args
            with graph.inserting_before(node):
                flipped = [graph.call_function(_TRANSPOSE, (m, 1, 2)) for m in (right, left)]
                product = graph.call_function(_BMM, tuple(flipped))
                back = graph.call_function(_TRANSPOSE, (product, 1, 2))
                # Laid out as before: kernels read gradients by address, and views need it too.
                # Where an elementwise operation follows, the compiler makes the copy part of it.
                result = graph.call_function(_CLONE, (back,), _ROW_MAJOR)
            node.replace_all_uses_with(result)
            graph.erase_node(node)
    module.recompile()


def _is_narrow(product: Node) -> bool:
    _, rows, columns = product.meta["val"].shape
    return columns < rows and columns % _VECTOR != 0

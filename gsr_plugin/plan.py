"""One aggregation for all relations: what a layer reads of a graph, laid out once.

The products `S [W_1 | .. | W_m | W_self]` of all nodes lie in one table, node by node, its relations side by side, the
node's own last. Every listed relation and the self term are then one weighted segment sum over the table, and the
adjoint is one weighted segment sum over the gradient; relations that factor add to it.
"""

from collections.abc import Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from gsr_plugin.graph_tensors import NODE_TYPES, GraphTensors
from gsr_plugin.ops.scratch import FRESH, Scratch
from gsr_plugin.ops.segment import segment_sum
from gsr_plugin.relations import Entries, Relation, ends_of, entries_of, is_listed, lists_of, relation

_PLANS: "WeakKeyDictionary[GraphTensors, dict[tuple[tuple[str, ...], torch.dtype], Plan]]" = WeakKeyDictionary()


def blocks_of(relations: Sequence[str]) -> dict[str, list[str]]:
    """The relations that start at each node type, in order, then "self": the column blocks of its weights."""
    return {t: [r for r in relations if ends_of(r).source == t] + ["self"] for t in NODE_TYPES}


def plan_of(graph: GraphTensors, relations: Sequence[str], dtype: torch.dtype) -> "Plan":
    """The plan of `graph`, made once per set of relations and dtype, kept as long as `graph` is."""
    plans = _PLANS.setdefault(graph, {})
    key = (tuple(relations), dtype)
    if key not in plans:
        plans[key] = Plan(graph, key[0], dtype)
    return plans[key]


class Factored(NamedTuple):
    """A relation that is not a list: it reads column block `block` of `source` and adds to `target`."""

    op: Relation
    source: str
    block: int
    target: str


class Plan:
    """The lists of one graph, for one tuple of relations.

    Attributes:
        rows: rows of each node type in the stream; `bounds` are their ends.
        width: column blocks of each node type.
        table_rows: rows of each node type in the table.
        lists: rows of the table by row of the stream, `weight` beside them; `back` and `back_weight` transposed.
        factored: the other relations.
    """

    def __init__(self, graph: GraphTensors, relations: tuple[str, ...], dtype: torch.dtype) -> None:
        self.num_nodes, self.dtype, self.device = graph.num_nodes, dtype, graph.device
        self.relations = relations
        self.rows = {t: graph.rows(t) for t in NODE_TYPES}
        self.bounds = (0, *(self.rows[t].stop for t in NODE_TYPES))
        blocks = blocks_of(relations)
        self.width = {t: len(blocks[t]) for t in NODE_TYPES}
        self.table_rows: dict[str, slice] = {}
        self.factored: list[Factored] = []
        entries: list[Entries] = []
        start = 0
        for t in NODE_TYPES:
            m, n = self.width[t], graph.count(t)
            self.table_rows[t] = slice(start, start + m * n)
            for r, name in enumerate(blocks[t]):
                if name == "self" or is_listed(name):
                    entries.append(_in_table(graph, name, t, start + r, m, dtype))
                elif n:
                    self.factored.append(Factored(relation(graph, name, dtype=dtype), t, r, ends_of(name).target))
            start += m * n
        self.num_table_rows = start
        rows, sources, weight = (torch.cat(parts) for parts in zip(*entries, strict=True))
        entries.clear()
        self.lists, self.weight = lists_of(rows, sources, weight, self.num_nodes, dtype)
        self.back, self.back_weight = lists_of(sources, rows, weight, start, dtype)

    def block(self, node_type: str, block: int) -> int:
        """Number of a column block among those of all node types."""
        return sum(self.width[t] for t in NODE_TYPES[: NODE_TYPES.index(node_type)]) + block

    def sources(self, node_type: str, block: int) -> slice:
        """Rows of the table that hold one column block."""
        rows = self.table_rows[node_type]
        return slice(rows.start + block, rows.stop, self.width[node_type])

    def aggregate(self, table: Float[Tensor, "rows h"], scratch: Scratch = FRESH) -> Float[Tensor, "nodes h"]:
        """Sum over the relations, and the self term, of the row means of the products."""
        out = segment_sum(table, self.lists.ptr, self.lists.idx, self.weight, scratch=scratch, name="value")
        for op, source, block, target in self.factored:
            out[self.rows[target]] += op.forward(table[self.sources(source, block)].contiguous(), scratch)
        return out

    def adjoint(self, grad: Float[Tensor, "nodes h"], scratch: Scratch = FRESH) -> Float[Tensor, "rows h"]:
        """The transposed of `aggregate`."""
        table = segment_sum(grad, self.back.ptr, self.back.idx, self.back_weight, scratch=scratch, name="table")
        for op, source, block, target in self.factored:
            table[self.sources(source, block)] = op.adjoint(grad[self.rows[target]], scratch)
        return table


def _in_table(graph: GraphTensors, name: str, node_type: str, start: int, stride: int, dtype: torch.dtype) -> Entries:
    """Entries between rows of the stream and rows of the table."""
    if name == "self":
        own = torch.arange(graph.count(node_type), dtype=torch.int32, device=graph.device)
        e, target = Entries(own, own, torch.ones_like(own, dtype=dtype)), node_type
    else:
        e, target = entries_of(graph, name, dtype), ends_of(name).target
    return Entries(e.target + graph.rows(target).start, start + stride * e.source, e.weight)

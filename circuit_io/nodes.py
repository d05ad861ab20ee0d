"""What becomes a node of type inst in the graph, and which pins drive."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from circuit_io.design import INPUT, OUTPUT, Design


@dataclass(frozen=True)
class Nodes:
    """The insts of the graph: placed insts that are not physical-only, then the ports that are on a net."""

    inst: Int64[np.ndarray, " kept"]  # rows of the design's insts
    port: Int64[np.ndarray, " kept_ports"]  # rows of the design's ports
    of_pin: Int64[np.ndarray, " pins"]  # node of each pin
    rect_dbu: Int64[np.ndarray, "nodes 4"]

    @property
    def is_port(self) -> Bool[np.ndarray, " nodes"]:
        """True for ports."""
        return np.arange(len(self.rect_dbu)) >= len(self.inst)


def select_nodes(design: Design) -> Nodes:
    """The nodes of type inst; a physical-only inst that is on a signal net all the same stays in."""
    keep = ~design.masters.is_physical[design.inst_master]
    keep[design.pin_inst[design.pin_inst >= 0]] = True
    inst = np.flatnonzero(keep)
    port = np.unique(design.pin_port[design.pin_port >= 0]).astype(np.int64)
    node = np.full(design.num_insts, -1, np.int64)
    node[inst] = np.arange(len(inst))
    of_pin = np.where(
        design.pin_inst >= 0,
        node[np.maximum(design.pin_inst, 0)] if design.num_insts else -1,
        len(inst) + np.searchsorted(port, design.pin_port),
    )
    xy = design.port_xy_dbu[port]
    rect = np.concatenate([design.inst_rect_dbu[inst], np.concatenate([xy, xy], axis=1)])
    return Nodes(inst, port, of_pin, rect)


def drivers(design: Design) -> Bool[np.ndarray, " pins"]:
    """Output pins of insts and input ports."""
    drives: Bool[np.ndarray, " pins"] = np.where(
        design.pin_inst >= 0, design.pin_direction == OUTPUT, design.pin_direction == INPUT
    )
    return drives

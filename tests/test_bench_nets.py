"""The recall of nets: routed wires as a DEF has them, and what RUDY expects in a box."""

import numpy as np
import pytest

from bench.nets import rudy_wires, wire_ends

NETS = r"""
NETS 3 ;
    - a\[0\] ( u1 A ) ( u2 Z ) + USE SIGNAL
      + ROUTED metal1 ( 10 20 ) via1_7 ( * 50 ) via1_4 ( 90 * 0 )
      NEW metal2 ( 90 50 ) RECT ( -70 -70 70 70 )
     NEW metal3 ( 90 50 35 ) ( 30 * ) ;
    - b ( PIN b ) + USE SIGNAL ;
    - NEW ( u3 A ) ( u4 Z ) + USE CLOCK + ROUTED metal1 TAPER ( 5 5 ) ( * 5 ) ( 7 * ) via1_2 ;
END NETS
"""


def test_wires_of_a_def_join_the_points_of_each_path() -> None:
    assert list(wire_ends(NETS, ["b", "NEW", r"a\[0\]"])) == [
        (2, 10, 20, 10, 50),
        (2, 10, 50, 90, 50),
        (2, 30, 50, 90, 50),
        (1, 5, 5, 7, 5),
    ]


@pytest.mark.parametrize(
    ("direction", "edges", "wanted"),
    [
        ("h", (0, 0, 9, 9), [3.0, 0.0]),
        ("v", (0, 0, 9, 9), [1.0, 0.0]),
        ("h", (4, 1, 9, 3), [0.5, 0.0]),
        ("v", (3, 0, 3, 9), [0.25, 0.0]),
        ("v", (6, 0, 9, 9), [0.0, 0.0]),
    ],
)
def test_rudy_spreads_one_wire_over_the_box(
    direction: str, edges: tuple[int, int, int, int], wanted: list[float]
) -> None:
    net_box = np.array([[2, 3, 5, 4], [1, 1, 0, 0]])  # the second net has no pin
    assert rudy_wires(net_box, direction, edges).tolist() == wanted

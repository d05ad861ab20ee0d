"""Every field of a graph, once: its unit, its meaning, and what becomes of it when the die is mirrored or turned.

Features are dimensionless, so that a new technology is not a new world: lengths in gcells, areas in row heights
squared or shares of a gcell, capacitances over the smallest inverter's, demand over the capacity that adjustments
leave. What an input file did not tell is 0 with a `has_...` flag of 0 beside it, never a magic number.
"""

from dataclasses import dataclass

TRACKS_PER_UNIT = 15.0  # of the `capacity_*` features


@dataclass(frozen=True)
class Field:
    """One column of features.

    `mirror_x`, `mirror_y` and `transpose` name the field that takes this one's place when the design is mirrored in x
    or y or its axes are exchanged ("" = itself). `odd` lists the mirrors that negate it. `place` says what an entry of
    a gcell field belongs to: the gcell, or its edge to the right (`edge_h`) or above (`edge_v`).
    """

    name: str
    unit: str
    meaning: str
    mirror_x: str = ""
    mirror_y: str = ""
    transpose: str = ""
    odd: str = ""
    place: str = "gcell"


def _sides(what: str) -> tuple[Field, ...]:
    """Distances to the four die edges."""
    unit, text = "log1p(gcells)", f"distance from {what} to the {{}} die edge"
    return (
        Field("left", unit, text.format("left"), mirror_x="right", transpose="bottom"),
        Field("right", unit, text.format("right"), mirror_x="left", transpose="top"),
        Field("bottom", unit, text.format("lower"), mirror_y="top", transpose="left"),
        Field("top", unit, text.format("upper"), mirror_y="bottom", transpose="right"),
    )


def _both(name: str, unit: str, meaning: str, *, edge: bool = False) -> tuple[Field, Field]:
    """A horizontal and a vertical field that exchange places when the axes do."""
    h, v = name.format("h"), name.format("v")
    return (
        Field(h, unit, meaning.format("horizontal"), transpose=v, place="edge_h" if edge else "gcell"),
        Field(v, unit, meaning.format("vertical"), transpose=h, place="edge_v" if edge else "gcell"),
    )


INST_FEATURES: tuple[Field, ...] = (
    Field("width", "gcells", "width as placed", transpose="height"),
    Field("height", "gcells", "height as placed", transpose="width"),
    Field("area", "log1p(row height^2)", "area from LEF SIZE"),
    Field("pins", "log1p(count)", "signal pins that are on a net"),
    Field("fan_in", "log1p(count)", "input pins"),
    Field("fan_out", "log1p(count)", "pins on the nets that this inst drives, itself excluded"),
    Field("is_macro", "flag", "LEF class BLOCK, RING or PAD"),
    Field("is_fixed", "flag", "DEF status FIXED or COVER"),
    Field("is_port", "flag", "a port of the block"),
    Field("is_sequential", "flag", "flip-flop, latch or clock gate by Liberty"),
    Field("is_buffer", "flag", "buffer or inverter by Liberty"),
    Field("on_clock", "flag", "drives a net of DEF use CLOCK"),
    Field("has_liberty", "flag", "Liberty knows the master"),
    Field("drive", "log1p(ratio)", "drive strength over that of the smallest inverter; 0 without Liberty"),
    Field("input_cap", "log1p(ratio)", "summed input capacitance over the smallest inverter's; 0 without Liberty"),
    Field("offset_x", "gcells", "centre of the inst from the centre of its gcell", transpose="offset_y", odd="x"),
    Field("offset_y", "gcells", "centre of the inst from the centre of its gcell", transpose="offset_x", odd="y"),
    *_sides("the inst"),
)

NET_ROUTER_FEATURES: tuple[Field, ...] = (
    Field(
        "router_detour",
        "log(ratio)",
        "routed over shortest length: of the first run of the embedded router where "
        "that leaves no overflow, else the median of its runs",
    ),
    Field("router_mean_detour", "log(ratio)", "the same, of the mean length of its runs"),
    Field("router_spread", "ratio", "standard deviation of the length of its runs, over the shortest length"),
    Field("router_runs", "runs / 8", "runs of the embedded router; 0: the router was not asked"),
)  # last among those of a net, since exports and models without them are read too

NET_FEATURES: tuple[Field, ...] = (
    Field("degree", "log1p(count)", "pins"),
    Field("gcells", "log1p(count)", "different gcells that hold a pin"),
    Field("box_width", "log1p(gcells)", "columns between the outermost pins", transpose="box_height"),
    Field("box_height", "log1p(gcells)", "rows between the outermost pins", transpose="box_width"),
    Field("hpwl", "log1p(gcells)", "half the perimeter of the gcell box"),
    Field("tree", "log1p(gcells)", "length of the Steiner tree over the pins' gcells"),
    Field("segments", "log1p(count)", "two-pin connections of that tree"),
    Field("is_clock", "flag", "DEF use CLOCK"),
    Field("has_driver", "flag", "a pin drives the net"),
    Field("driver", "log1p(ratio)", "drive strength of the driver over the smallest inverter's; 0 without Liberty"),
    Field("load", "log1p(ratio)", "summed pin capacitance over the smallest inverter's; 0 without Liberty"),
    *NET_ROUTER_FEATURES,
)

PIN_FEATURES: tuple[Field, ...] = (
    Field("offset_x", "gcells", "pin from the centre of its inst", transpose="offset_y", odd="x"),
    Field("offset_y", "gcells", "pin from the centre of its inst", transpose="offset_x", odd="y"),
    Field("is_driver", "flag", "an output of an inst or an input port"),
    Field("cap", "ratio", "capacitance over the smallest inverter's; 0 without Liberty"),
    Field("has_cap", "flag", "Liberty tells the capacitance"),
)

ROUTER_FEATURES: tuple[Field, ...] = (
    *_both("router_{}", "share of capacity", "{} demand by the embedded router, mean of its runs", edge=True),
    *_both("router_first_{}", "share of capacity", "{} demand by the first run of the router", edge=True),
    *_both("router_spread_{}", "share of capacity", "standard deviation of the {} demand of its runs", edge=True),
    *_both("router_over_{}", "share of capacity", "{} demand above the capacity, mean of its runs", edge=True),
    *_both("router_across3_{}", "share of capacity", "router, mean of 3 gcells across the {} direction", edge=True),
    *_both("router_along3_{}", "share of capacity", "router, mean of 3 gcells along the {} direction", edge=True),
    *_both("router_box5_{}", "share of capacity", "{} router, mean of 5 x 5 gcells", edge=True),
    *_both("router_mean_{}", "share of capacity", "mean of {} router over the design"),
    *_both("router_full_{}", "share", "share of the design's {} edges with router over 1"),
    Field("router_pressure", "log1p(tracks a gcell)", "overflow that the router left, and its rounds of rip-up"),
    Field("router_runs", "runs / 8", "runs of the embedded router; 0: the router was not asked"),
)  # last among those of a gcell, since exports and models without them are read too

GCELL_FEATURES: tuple[Field, ...] = (
    *_both("capacity_{}", "tracks / 15", "{} tracks that adjustments leave, all signal layers"),
    *_both("layers_{}", "count", "{} signal layers"),
    *_both("low_share_{}", "share", "share of the lowest {} signal layer in the capacity"),
    *_both("adjusted_{}", "share", "share of the {} tracks that adjustments take away"),
    *_both("blocked_{}", "share of capacity", "{} tracks under power pins, obstructions and power grid", edge=True),
    *_both("rudy_{}", "share of capacity", "{} RUDY on gcell boxes", edge=True),
    *_both("demand_l_{}", "share of capacity", "{} demand of trees, both L shapes alike, plus blocked", edge=True),
    *_both("demand_z_{}", "share of capacity", "{} demand of trees, all Z shapes alike, plus blocked", edge=True),
    *_both("across3_{}", "share of capacity", "demand_z, mean of 3 gcells across the {} direction", edge=True),
    *_both("along3_{}", "share of capacity", "demand_z, mean of 3 gcells along the {} direction", edge=True),
    *_both("box5_{}", "share of capacity", "{} demand_z, mean of 5 x 5 gcells", edge=True),
    *_both("box11_{}", "share of capacity", "{} demand_z, mean of 11 x 11 gcells", edge=True),
    Field("pins", "log1p(count)", "pins of nets over more than one gcell"),
    Field("local_nets", "log1p(count)", "nets with two pins or more, all in this gcell"),
    Field("bends", "log1p(count)", "ends of tree segments"),
    Field("cell_area", "share", "gcell area under movable insts"),
    Field("fixed_area", "share", "gcell area under fixed insts, macros and placement blockages (partial ones in part)"),
    *_sides("the gcell"),
    Field("size", "log(count)", "gcells of the design"),
    *_both("mean_{}", "share of capacity", "mean of {} demand_z over the design"),
    *_both("full_{}", "share", "share of the design's {} edges with demand_z over 1"),
    Field("density", "share", "mean of cell_area + fixed_area over the design"),
    *ROUTER_FEATURES,
)

ENDPOINT_FEATURES: tuple[Field, ...] = (  # of the worst path there (path_delays.py); a gate is a typical one
    Field("drive", "share", "of the wire delay: drivers that charge wires"),
    Field("wire", "share", "of the wire delay: resistance of the wires"),
    Field("stages", "log1p(count)", "nets on the path"),
    Field("wire_delay", "log(gates)", "the wire delay (drive + wire + one gate) over the delay of a gate"),
    Field("wire_delay_here", "log(ratio)", "the wire delay over its mean in the design"),
    Field("arrival", "log(ratio)", "the whole delay over its mean in the design"),
    Field("late", "log1p(ratio)", "slack before routing below the best of the design, over the mean delay"),
    Field("late_here", "log1p(ratio)", "the same over the path's own delay"),
    Field("gate", "log(10 ps)", "delay of a typical gate"),
    Field("tile", "log(3 um)", "side of a gcell"),
    Field("layers", "count", "signal layers"),
    Field("low_share", "share", "share of the lowest signal layer of a direction in its capacity"),
    Field("adjusted", "share", "share of the tracks that adjustments take away"),
    Field("capacity", "tracks / 15", "tracks that adjustments leave, both directions"),
    Field("demand", "share of capacity", "mean of demand_z over the design"),
    Field("router", "share of capacity", "mean of the embedded router's demand over the design"),
    Field("router_full", "share", "share of the edges that the router fills beyond 1"),
    Field("router_pressure", "log1p(tracks a gcell)", "overflow that the router left, and its rounds of rip-up"),
)


def names(fields: tuple[Field, ...]) -> list[str]:
    """The names of `fields`, in order."""
    return [field.name for field in fields]


def column(fields: tuple[Field, ...], name: str) -> int:
    """The column of the field called `name`."""
    return names(fields).index(name)

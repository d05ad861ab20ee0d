"""The third task: slack of endpoints after global route, as what wires take from the slack before it.

The unit is the estimated wire delay of each endpoint's worst path (circuit_io/path_delays.py): known before routing,
and of the same meaning in every technology. Without Liberty there is none, so slack is not predicted.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor

from circuit_io.endpoints import read_stored_endpoints
from circuit_io.fields import ENDPOINT_FEATURES, GCELL_FEATURES, column, names
from circuit_io.graph import CircuitGraph
from circuit_io.path_delays import PathDelays, path_delays
from circuit_io.store import StoredDesign
from gsr_plugin.heads import EndpointTensors

BEST = 0.99  # quantile of the slacks that counts as the best one
OF_ROUTER = tuple(column(ENDPOINT_FEATURES, name) for name in ("router", "router_full", "router_pressure"))


@dataclass(frozen=True)
class SlackInputs:
    """What the head is told of the endpoints of a placement, and what is true of them.

    Attributes:
        pin: name.
        net: the net that ends there.
        features: see `fields.ENDPOINT_FEATURES`.
        shares: parts of the wire delay of the worst path: drivers, wires, one gate.
        scale_ns: that wire delay, the unit of the head.
        mean_scale_ns: its mean over the design.
        slack_ns: before routing.
        change_ns: slack after routing less that before; nan where no label tells.
        has_router: whether features of the embedded router are known.
    """

    pin: tuple[str, ...]
    net: Int64[np.ndarray, " endpoints"]
    features: Float32[np.ndarray, "endpoints f"]
    shares: Float32[np.ndarray, "endpoints 3"]
    scale_ns: Float64[np.ndarray, " endpoints"]
    mean_scale_ns: float
    slack_ns: Float64[np.ndarray, " endpoints"]
    change_ns: Float64[np.ndarray, " endpoints"]
    has_router: bool

    @property
    def num_labelled(self) -> int:
        """Endpoints whose change is known."""
        return int(np.isfinite(self.change_ns).sum())

    def at(self, rows: Int64[np.ndarray, " some"]) -> "SlackInputs":
        """The endpoints of these rows alone; the mean scale stays that of the design."""
        return replace(
            self,
            pin=tuple(self.pin[i] for i in rows.tolist()),
            net=self.net[rows],
            features=self.features[rows],
            shares=self.shares[rows],
            scale_ns=self.scale_ns[rows],
            slack_ns=self.slack_ns[rows],
            change_ns=self.change_ns[rows],
        )

    def on(self, nets: Int64[np.ndarray, " nets_inside"]) -> tuple["SlackInputs", Int64[np.ndarray, " rows"]]:
        """The endpoints on some nets (ascending), by their new numbers; and their rows here."""
        at = np.searchsorted(nets, self.net)
        inside: Bool[np.ndarray, " endpoints"] = at < len(nets)
        inside[inside] = nets[at[inside]] == self.net[inside]
        rows = np.flatnonzero(inside)
        return replace(self.at(rows), net=at[rows]), rows

    def known(self, *, hide_router: bool = False) -> Float32[np.ndarray, "endpoints f"]:
        """1 for a feature that is known, 0 for one that is not."""
        seen = np.ones_like(self.features)
        if hide_router or not self.has_router:
            seen[:, OF_ROUTER] = 0
        return seen

    def tensors(self, features: Float32[np.ndarray, "endpoints f"], device: torch.device) -> EndpointTensors:
        """For the head, with normalised features."""
        parts = (torch.from_numpy(x).to(device) for x in (self.net, features, self.shares))
        return EndpointTensors(*parts)


def slack_inputs(design: StoredDesign) -> SlackInputs | None:
    """Of an export; None where it has no endpoints, or no Liberty to estimate delays by.

    Raises:
        InputError: its endpoints do not fit.
    """
    ends, graph = read_stored_endpoints(design), design.graph
    tile_um = float(design.manifest["grid"].get("tile_um") or 0)
    if ends is None or not len(ends) or not tile_um:
        return None
    delays = path_delays(graph, ends.pins_of(graph), insts=design.insts, nets=design.nets, tile_um=tile_um)
    if delays is None:
        return None
    parts = np.stack([delays.drive_ns, delays.wire_ns, np.full(len(ends), delays.gate_ns)], axis=1)
    scale = parts.sum(axis=1)
    return SlackInputs(
        pin=ends.pin,
        net=ends.net.astype(np.int64),
        features=_features(graph, delays, ends.slack_ns, scale, tile_um),
        shares=(parts / scale[:, None]).astype(np.float32),
        scale_ns=scale,
        mean_scale_ns=float(scale.mean()),
        slack_ns=ends.slack_ns,
        change_ns=ends.routed_ns - ends.slack_ns,
        has_router=bool((graph.gcell_features[:, column(GCELL_FEATURES, "router_runs")] > 0).all()),
    )


def _features(
    graph: CircuitGraph,
    delays: PathDelays,
    slack_ns: Float64[np.ndarray, " endpoints"],
    scale_ns: Float64[np.ndarray, " endpoints"],
    tile_um: float,
) -> Float32[np.ndarray, "endpoints f"]:
    def mean(name: str) -> float:
        return float(np.mean([graph.gcell_features[:, column(GCELL_FEATURES, f"{name}_{d}")].mean() for d in "hv"]))

    whole = delays.arrival_ns + delays.gate_ns
    late = np.maximum(np.quantile(slack_ns, BEST) - slack_ns, 0)
    pressure = float(graph.gcell_features[:, column(GCELL_FEATURES, "router_pressure")].mean())
    columns = {
        "drive": delays.drive_ns / scale_ns,
        "wire": delays.wire_ns / scale_ns,
        "stages": np.log1p(delays.stages),
        "wire_delay": np.log(scale_ns / delays.gate_ns),
        "wire_delay_here": np.log(scale_ns / scale_ns.mean()),
        "arrival": np.log(whole / whole.mean()),
        "late": np.log1p(late / whole.mean()),
        "late_here": np.log1p(late / whole),
        "gate": np.log(delays.gate_ns / 0.01),
        "tile": np.log(tile_um / 3),
        "layers": 2 * mean("layers"),
        "low_share": mean("low_share"),
        "adjusted": mean("adjusted"),
        "capacity": 2 * mean("capacity"),
        "demand": mean("mean"),
        "router": mean("router_mean"),
        "router_full": mean("router_full"),
        "router_pressure": pressure,
    }
    assert list(columns) == names(ENDPOINT_FEATURES)
    return np.stack([np.broadcast_to(c, scale_ns.shape) for c in columns.values()], axis=1).astype(np.float32)


def slack_loss(
    guess: Float[Tensor, " endpoints"], inputs: SlackInputs, weight: Float64[np.ndarray, " endpoints"]
) -> Float[Tensor, ""]:
    """Absolute error of the change of slack over the design's mean wire delay, weighted over the labelled endpoints.

    Args:
        guess: change over the scale of each endpoint.
        inputs: of the same endpoints.
        weight: of each.
    """
    seen = np.flatnonzero(np.isfinite(inputs.change_ns))
    if not len(seen):
        return guess.sum() * 0
    truth, each, held = (
        torch.from_numpy(x[seen]).to(guess)
        for x in (inputs.change_ns / inputs.mean_scale_ns, inputs.scale_ns / inputs.mean_scale_ns, weight)
    )
    error = (guess[torch.from_numpy(seen).to(guess.device)] * each - truth).abs()
    return (error * held).sum() / held.sum().clamp_min(1e-9)

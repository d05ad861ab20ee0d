"""GSR-GNN: encoders per node type, the reversible stack, and heads on gcells and, where asked for, nets and endpoints.

    config = ModelConfig(num_inst_features=.., num_net_features=.., num_gcell_features=.., layers=16, width=64)
    model = GsrGnn(config, seed=0)
    tensors = GraphTensors.of(graph)                                   # once per graph; `.to(device)`
    out = model(tensors, inst_x, net_x, gcell_x)                       # float32 matrices [N, F], normalised, finite
    out.congestion, out.overflow_logit, out.log_sigma                  # each [G, 2]: 0 = H (edge to the right), 1 = V
    out.detour                                                         # [nets, 2], or None without this task
    model(tensors, inst_x, net_x, gcell_x, endpoints).slack            # [endpoints], or None without this task
    out.drc_logit                                                      # [G], or None without this task
    loss(out).backward()                                               # before the optimiser's step
    model.range_used_frac()                                            # max |x| / 2^(24 - t) of the last forward

A forward without `torch.no_grad()` keeps its arena until its backward has run or its output is dropped. `RangeError`
(a stream reached the range), `NotANumberError` and `StaleBackwardError` are `GsrError`s.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor, nn

from circuit_io.errors import GsrError, InputError
from circuit_io.fields import ENDPOINT_FEATURES
from gsr_plugin.graph_tensors import NODE_TYPES, GraphTensors
from gsr_plugin.heads import EndpointTensors, GridHead, HeadNorm, SlackHead
from gsr_plugin.ops.topk import Selection
from gsr_plugin.relations import ends_of
from gsr_plugin.reversible import ReversibleStack, StackSpec

DEFAULT_RELATIONS = ("pin", "pinned", "in", "holds", "west", "east", "south", "north", "covers", "covered")
DIRECTIONS = ("h", "v")
CONGESTION, DETOUR, SLACK, DRC = "congestion", "detour", "slack", "drc"
TASKS = (CONGESTION, DETOUR, SLACK, DRC)
HEADS = {DETOUR: "net_head.", SLACK: "slack_head.", DRC: "drc_head."}  # names of their weights begin so
APART = (HEADS[SLACK], HEADS[DRC])  # their gradient stops at the trunk
_DRC_CONVOLUTIONS = 2
_NET_BLOCK = 1 << 16  # nets whose head is computed at once, so that a large design holds few of its hidden channels
DEEP = 100  # layers from which the grid is coarser (training.md 4.5: streams grow with depth)


class ModelConfig(BaseModel):
    """Everything that fixes the model's shape and arithmetic; stored with the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_inst_features: int = Field(ge=1, description="columns of the inst features")
    num_net_features: int = Field(ge=1, description="columns of the net features")
    num_gcell_features: int = Field(ge=1, description="columns of the gcell features")
    layers: int = Field(16, ge=1, le=10_000, description="reversible layers")
    width: int = Field(64, ge=4, le=65_534, description="channels D of the stream, both groups together")
    groups: int = Field(2, description="groups of channels; only 2 is built")
    k: int = Field(8, ge=1, description="entries that the group top-k keeps of each row of a group")
    relations: tuple[str, ...] = Field(DEFAULT_RELATIONS, description="relations of a branch, in order")
    t: int | Literal["auto", "off"] = Field(
        "auto", description="grid 2^-t of the streams; auto: 16, or 12 from 100 layers"
    )
    variant: Literal["reversible", "paper"] = Field("reversible", description="layer; paper is the published one")
    reversible: bool = Field(True, description="rebuild activations; false stores them (same numbers)")
    save_indices: bool = Field(False, description="keep one byte per selected entry instead of selecting again")
    relu: bool = Field(False, description="clamp the kept entries at 0")
    magnitude: bool = Field(False, description="keep the largest magnitudes instead of the largest values")
    branch_dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="precision of a branch's kept entries and matrices; sums and streams stay float32"
    )
    head_width: int = Field(64, ge=1, description="hidden channels of the head")
    head_convolutions: int = Field(
        0,
        ge=0,
        le=16,
        description="convolutions of 3 x 3 gcells in the head, which then sees the features of gcells too",
    )
    tasks: tuple[Literal["congestion", "detour", "slack", "drc"], ...] = Field(
        ("congestion",),
        description="what is predicted: congestion of the edges always; detour: routed length of the nets; slack: of "
        "endpoints after global route; drc: gcells with violations after detailed route",
    )

    @field_validator("groups")
    @classmethod
    def _two_groups(cls, groups: int) -> int:
        if groups != 2:
            raise ValueError(f"groups = {groups}: the reversible layer is built for 2 groups")
        return groups

    @field_validator("relations")
    @classmethod
    def _known(cls, relations: tuple[str, ...]) -> tuple[str, ...]:
        try:
            for name in relations:
                ends_of(name)
        except GsrError as err:
            raise ValueError(str(err)) from err
        if len(set(relations)) < len(relations):
            raise ValueError("a relation is named twice")
        return relations

    @field_validator("tasks")
    @classmethod
    def _congestion_first(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        if CONGESTION not in tasks or tasks != in_order(tasks):
            raise ValueError(f'tasks = {list(tasks)}: "{CONGESTION}" and, where wanted, then {", ".join(TASKS[1:])}')
        return tasks

    @field_validator("t")
    @classmethod
    def _grid(cls, t: int | str) -> int | str:
        if isinstance(t, int) and not 1 <= t <= 22:
            raise ValueError(f"t = {t}: the grid 2^-t needs t in 1..22")
        return t

    @model_validator(mode="after")
    def _sizes(self) -> "ModelConfig":
        if self.width % 2:
            raise ValueError(f"width = {self.width}: two groups need an even width")
        if self.k > self.width // 2:
            raise ValueError(f"k = {self.k}: a group has {self.width // 2} channels")
        self.stack_spec()
        return self

    def stack_spec(self) -> StackSpec:
        """What the reversible layers are told.

        Raises:
            ValueError: no stack can be so.
        """
        bf16 = self.branch_dtype == "bfloat16"
        selection = Selection(self.k, self.magnitude, self.relu, bf16=bf16)
        return StackSpec(self.layers, selection, self.grid, self.save_indices, self.variant)

    @property
    def grid(self) -> int | None:
        """t, resolved."""
        if self.t == "off" or self.variant == "paper":
            return None
        if self.t == "auto":
            return 12 if self.layers >= DEEP else 16
        return int(self.t)

    def features(self, node_type: str) -> int:
        """Feature columns of a node type."""
        return int(getattr(self, f"num_{node_type}_features"))


def in_order(tasks: Iterable[str]) -> tuple[str, ...]:
    """Tasks as a model names them."""
    chosen = set(tasks)
    return tuple(task for task in TASKS if task in chosen)


@dataclass(frozen=True, eq=False)
class Output:
    """What the model says of nets, and of every gcell's two edges: column 0 the one to the right (H), 1 that above (V).

    Attributes:
        congestion: mean, in the unit of the normalised target.
        overflow_logit: logit of the probability that the edge overflows.
        log_sigma: log of the spread of `congestion`, same unit; its gradient stops at the trunk.
        detour: median and mean of the log of a net's detour, in the unit of that normalised target; None without it.
        slack: change of an endpoint's slack over the wire delay that is estimated for its worst path; None without
            that task or without endpoints. Its gradient stops at the trunk.
        drc_logit: logit of the probability that detailed routing leaves a violation in the gcell; None without that
            task. Its gradient stops at the trunk and at the other outputs.
    """

    congestion: Float[Tensor, "gcells 2"]
    overflow_logit: Float[Tensor, "gcells 2"]
    log_sigma: Float[Tensor, "gcells 2"]
    detour: Float[Tensor, "nets 2"] | None = None
    slack: Float[Tensor, " endpoints"] | None = None
    drc_logit: Float[Tensor, " gcells"] | None = None


def _encoder(num_features: int, d: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(num_features, d), nn.ReLU(inplace=True), nn.Linear(d, d))


class GsrGnn(nn.Module):
    """The network; see the module for its use."""

    def __init__(self, config: ModelConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            d, wide = config.width, config.head_width
            self.encoders = nn.ModuleDict({t: _encoder(config.features(t), d) for t in NODE_TYPES})
            self.stack = ReversibleStack(config.stack_spec(), config.relations, d // 2, reversible=config.reversible)
            self.head_norm = HeadNorm(d)
            self.head: nn.Module
            if config.head_convolutions:
                self.head = GridHead(d + config.num_gcell_features, wide, config.head_convolutions, 4)
            else:
                self.head = nn.Sequential(nn.Linear(d, wide), nn.GELU(), nn.Linear(wide, 4))
            self.sigma_head = nn.Sequential(nn.Linear(d, wide), nn.GELU(), nn.Linear(wide, 2))
            self.skip = nn.Linear(config.num_gcell_features, 2, bias=False)
            if DETOUR in config.tasks:  # last, so that the other weights begin as they do without it
                self.net_head = nn.Sequential(HeadNorm(d), nn.Linear(d, wide), nn.GELU(), nn.Linear(wide, 2))
            if SLACK in config.tasks:
                self.slack_head = SlackHead(d, len(ENDPOINT_FEATURES), wide)
            if DRC in config.tasks:
                inputs = d + 4 + config.num_gcell_features
                self.drc_head = GridHead(inputs, (wide + 1) // 2, _DRC_CONVOLUTIONS, 1)
        nn.init.zeros_(self.skip.weight)

    def forward(
        self,
        tensors: GraphTensors,
        inst_x: Float[Tensor, "insts fi"],
        net_x: Float[Tensor, "nets fn"],
        gcell_x: Float[Tensor, "gcells fg"],
        endpoints: EndpointTensors | None = None,
    ) -> Output:
        """Predictions for every gcell, and every net and given endpoint where that is a task, of one graph.

        Raises:
            InputError: a feature matrix has the wrong size, dtype or device, or an entry that is not finite; names it.
            RangeError, NotANumberError: see `ReversibleStack.forward`.
        """
        features = dict(zip(NODE_TYPES, (inst_x, net_x, gcell_x), strict=True))
        self._check(features, tensors)
        encoded = (self.encoders[t](x) for t, x in features.items())
        has_slack = SLACK in self.config.tasks and endpoints is not None
        has_nets = DETOUR in self.config.tasks or has_slack
        nets = tensors.num_nets if has_nets else 0
        rows = slice(tensors.rows("gcell").start - nets, tensors.num_nodes)  # nets lie before gcells
        read = self.stack(torch.cat(list(encoded)), tensors, read=rows)  # its input is held no longer
        trunk = self.head_norm(read[nets:])
        if self.config.head_convolutions:
            of_edges = self.head(torch.cat([trunk, gcell_x], 1), (tensors.ny, tensors.nx))
        else:
            of_edges = self.head(trunk)
        mean, logit = of_edges.chunk(2, 1)
        mean = mean + self.skip(gcell_x)
        detour = slack = drc = None
        if DETOUR in self.config.tasks:
            detour = torch.cat([self.net_head(x) for x in read[:nets].split(_NET_BLOCK)])
        if has_slack:
            assert endpoints is not None
            slack = self.slack_head(read[:nets].detach(), endpoints)
        if DRC in self.config.tasks:
            told = torch.cat([trunk.detach(), mean.detach(), logit.detach(), gcell_x], 1)
            drc = self.drc_head(told, (tensors.ny, tensors.nx)).squeeze(1)
        return Output(mean, logit, self.sigma_head(trunk.detach()), detour, slack, drc)

    def _check(self, features: dict[str, Tensor], tensors: GraphTensors) -> None:
        weight = self.skip.weight
        for t, x in features.items():
            want = (tensors.count(t), self.config.features(t))
            if tuple(x.shape) != want:
                what = f"{t} features are {tuple(x.shape)}; this graph and model need {want}"
                raise InputError(what, path="GsrGnn", mend="Give a row per node and a column per feature of the card.")
            if (x.dtype, x.device) != (weight.dtype, weight.device) or tensors.device != x.device:
                raise InputError(
                    f"{t} features are {x.dtype} on {x.device}, the weights {weight.dtype} on {weight.device}, "
                    f"the graph is on {tensors.device}",
                    path="GsrGnn",
                    mend="Bring them to one dtype and device by .to(device, dtype).",
                )
        if not bool(torch.stack([x.sum() for x in features.values()]).isfinite().all()):  # one pass, one read
            for t, x in features.items():
                for row, column in (~x.isfinite()).nonzero()[:1].tolist():
                    what = f"{t} features[{row}, {column}] = {float(x[row, column])}"
                    raise InputError(what, path="GsrGnn", mend="Features must be finite: export the design again.")

    def range_used_frac(self) -> float:
        """Largest |x| of the last forward over 2^(24 - t); 1 stops the run."""
        return 0.0 if self.stack.record is None else self.stack.record.used_frac()

"""The state of a training run between two steps: one safetensors file, written whole, that `--resume` reads.

Everything random in training is drawn from (seed, epoch), so that the step number is all its state.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from circuit_io.atomic import write_whole
from circuit_io.errors import InputError

STATE = Path("state") / "checkpoint.safetensors"
_HEADER, SCHEMA, VERSION = "gsr", "gsr-training-state", 1
_RNG = "rng"


@dataclass(frozen=True)
class Checkpoint:
    """Weights, averaged weights, Adam's moments, torch's generator, and where the run stood."""

    tensors: dict[str, Tensor]
    step: int
    losses: list[float] = field(default_factory=list)  # of the epoch under way
    seconds: float = 0.0
    range_frac: float = 0.0  # largest used fraction of the range, of the epoch under way
    run: dict[str, str] = field(default_factory=dict)  # what must be the same when it goes on

    @classmethod
    def of(
        cls,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        average: Mapping[str, Tensor],
        *,
        step: int,
        losses: list[float],
        seconds: float,
        range_frac: float,
        run: dict[str, str],
    ) -> "Checkpoint":
        """The state after `step` steps."""
        tensors = {f"model/{name}": t for name, t in model.state_dict().items()}
        tensors |= {f"average/{name}": t for name, t in average.items()}
        for name, parameter in _trained(model):
            for key, value in optimizer.state[parameter].items():
                tensors[f"optimizer/{name}/{key}"] = value
        tensors[_RNG] = torch.get_rng_state()
        whole = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        return cls(whole, step, list(losses), seconds, range_frac, run)

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer, average: Mapping[str, Tensor]) -> None:
        """Put the state back into a model, an optimiser and averages.

        Raises:
            InputError: a tensor is missing, or of another shape or dtype; names it.
        """
        moments = ("exp_avg", "exp_avg_sq")  # of AdamW, beside its count of steps
        check_tensors(
            self.tensors,
            {f"model/{name}": t for name, t in model.state_dict().items()}
            | {f"average/{name}": t for name, t in average.items()}
            | {f"optimizer/{n}/{m}": p for n, p in _trained(model) for m in moments if self.step}
            | {_RNG: torch.get_rng_state()},
            path=STATE,
            mend="It is of another model: start the run anew with --overwrite.",
        )
        model.load_state_dict({n.removeprefix("model/"): t for n, t in self.tensors.items() if n.startswith("model/")})
        for name, t in average.items():
            t.copy_(self.tensors[f"average/{name}"])
        for name, parameter in _trained(model):
            head = f"optimizer/{name}/"
            optimizer.state[parameter] = {
                n.removeprefix(head): t.to(parameter.device) if t.ndim else t.clone()
                for n, t in self.tensors.items()
                if n.startswith(head)
            }
        torch.set_rng_state(self.tensors[_RNG])


def _trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def check_tensors(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, path: Path | str, mend: str) -> None:
    """Raises InputError for the first tensor of `wanted` that is missing, or of another shape or dtype."""
    for name, t in wanted.items():
        if name not in found:
            raise InputError(f'tensor "{name}" is missing', path=path, mend=mend)
        ours, theirs = ((tuple(x.shape), x.dtype) for x in (t, found[name]))
        if ours != theirs:
            told = (f"{list(shape)} {str(dtype).removeprefix('torch.')}" for shape, dtype in (theirs, ours))
            raise InputError(f'tensor "{name}" is {" but should be ".join(told)}', path=path, mend=mend)


def write_checkpoint(out: Path, checkpoint: Checkpoint) -> None:
    """Write the state below the run folder `out`; the file takes its name only when it is complete."""
    (out / STATE).parent.mkdir(parents=True, exist_ok=True)
    head = {
        "schema": SCHEMA,
        "schema_version": VERSION,
        "step": checkpoint.step,
        "losses": checkpoint.losses,
        "seconds": checkpoint.seconds,
        "range_frac": checkpoint.range_frac,
        "run": checkpoint.run,
    }
    write_whole(out / STATE, save_tensors(checkpoint.tensors, {_HEADER: json.dumps(head, sort_keys=True)}))


def read_checkpoint(out: Path) -> Checkpoint:
    """The state below a run folder.

    Raises:
        InputError: there is none, or it is damaged or of a newer version.
    """
    path = out / STATE
    if not path.is_file():
        raise InputError("holds no state to resume", path=out, mend="Leave --resume out to start a run there.")
    try:
        with safe_open(str(path), framework="pt") as f:
            head = json.loads((f.metadata() or {}).get(_HEADER, "null"))
            tensors = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118
        if not isinstance(head, dict) or head.get("schema") != SCHEMA or head.get("schema_version") != VERSION:
            raise InputError(f"is no {SCHEMA} of version {VERSION}", path=path, mend="Start the run anew.")
        most = head.get("range_frac", 0.0)
        return Checkpoint(tensors, head["step"], head["losses"], head["seconds"], most, head["run"])
    except (SafetensorError, OSError, ValueError, KeyError, RecursionError) as e:
        raise InputError(f"is damaged: {e}", path=path, mend="Start the run anew with --overwrite.") from e

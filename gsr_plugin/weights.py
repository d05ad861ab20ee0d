"""A trained model on disk: weights and statistics in safetensors, and a card that says what it is and was trained on.

`weights.safetensors` holds the card in its header, so that the file alone is enough; `model.json` is a copy to read.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from circuit_io.atomic import write_whole
from circuit_io.errors import InputError
from circuit_io.graph import CircuitGraph
from circuit_io.manifest import json_object
from circuit_io.text import sha256
from gsr_plugin.checkpoint import check_tensors
from gsr_plugin.detour import log_detours
from gsr_plugin.graph_tensors import GraphTensors
from gsr_plugin.model import DETOUR, SLACK, GsrGnn
from gsr_plugin.model_card import ModelCard
from gsr_plugin.normaliser import Normaliser
from gsr_plugin.router_share import mixed, router_maps
from gsr_plugin.slack import SlackInputs

WEIGHTS, CARD = "weights.safetensors", "model.json"
_HEADER, _MODEL, _STATISTICS = "gsr", "model/", "statistics/"


@dataclass(frozen=True)
class Predicted:
    """Predictions of one placement: maps [ny, nx], NaN in the last column of H and the last row of V; the log of each
    net's detour, median and mean, the change of slack of each endpoint, and the probability of a violation in each
    gcell, where the model has these tasks.
    """

    congestion_h: Float32[np.ndarray, "ny nx"]
    congestion_v: Float32[np.ndarray, "ny nx"]
    overflow_prob_h: Float32[np.ndarray, "ny nx"]
    overflow_prob_v: Float32[np.ndarray, "ny nx"]
    sigma_h: Float32[np.ndarray, "ny nx"]
    sigma_v: Float32[np.ndarray, "ny nx"]
    detour: Float32[np.ndarray, "nets 2"] | None = None
    slack_change_ns: Float32[np.ndarray, " endpoints"] | None = None
    drc_prob: Float32[np.ndarray, "ny nx"] | None = None

    @property
    def congestion(self) -> tuple[Float32[np.ndarray, "ny nx"], Float32[np.ndarray, "ny nx"]]:
        """H and V."""
        return self.congestion_h, self.congestion_v


@dataclass(frozen=True)
class Weights:
    """A model ready to predict."""

    model: GsrGnn
    card: ModelCard
    normaliser: Normaliser
    sha256: str
    path: Path

    def predict(self, graph: CircuitGraph, endpoints: SlackInputs | None = None) -> Predicted:
        """Congestion (1 = full, at least 0), probability of overflow, and one deviation of congestion, per gcell edge.

        Of weights with these tasks also the detour of the nets, the change of slack of given endpoints, and the
        probability of a DRC violation in each gcell.

        Raises:
            InputError: a prediction that is not finite.
        """
        maps, scale = predict_maps(self.model, self.normaliser, graph, endpoints), np.float32(self.card.sigma_scale)
        sigma_h, sigma_v, blend = maps.sigma_h * scale, maps.sigma_v * scale, self.card.overflow_blend
        congestion_h, congestion_v = mixed(maps.congestion, router_maps(graph), self.card.router_share)
        return replace(
            maps,
            congestion_h=congestion_h,
            congestion_v=congestion_v,
            sigma_h=sigma_h,
            sigma_v=sigma_v,
            overflow_prob_h=blend.prob(maps.overflow_prob_h, congestion_h, sigma_h),
            overflow_prob_v=blend.prob(maps.overflow_prob_v, congestion_v, sigma_v),
        )


def predict_maps(
    model: GsrGnn, normaliser: Normaliser, graph: CircuitGraph, endpoints: SlackInputs | None = None
) -> Predicted:
    """What the network itself predicts, its sigma not calibrated; see `Weights.predict`."""
    device = next(model.parameters()).device
    features = [torch.from_numpy(x).to(device) for x in normaliser.features(graph).values()]
    ends = endpoints if SLACK in model.config.tasks else None
    told = None if ends is None else ends.tensors(normaliser.endpoints(ends), device)
    with torch.no_grad():
        out = model(GraphTensors.of(graph).to(device), *features, told)
    model.stack.free_memory()
    mean, std = normaliser.target_mean, normaliser.target_std
    congestion = (out.congestion * std + mean).clamp_min(0)
    maps = (congestion, torch.sigmoid(out.overflow_logit), torch.exp(out.log_sigma) * std)
    detour = None if out.detour is None else log_detours(out.detour, graph, normaliser)
    slack = None if out.slack is None or ends is None else (out.slack.cpu().numpy() * ends.scale_ns).astype(np.float32)
    drc = None if out.drc_logit is None else torch.sigmoid(out.drc_logit).view(graph.ny, graph.nx).cpu().numpy()
    others = [values for values in (detour, slack, drc) if values is not None]
    if not all(bool(torch.isfinite(m).all()) for m in maps) or not all(np.isfinite(v).all() for v in others):
        raise InputError("the model predicts values that are not finite", mend="Train it again, or report the design.")
    h, v = ([_on_grid(m, graph, column) for m in maps] for column in (0, 1))
    return Predicted(h[0], v[0], h[1], v[1], h[2], v[2], detour, slack, drc)


def _on_grid(values: Tensor, graph: CircuitGraph, direction: int) -> Float32[np.ndarray, "ny nx"]:
    out = values[:, direction].reshape(graph.ny, graph.nx).cpu().numpy().copy()
    if direction == 0:
        out[:, -1] = np.nan
    else:
        out[-1, :] = np.nan
    return out


def pick_device(wanted: str = "auto") -> torch.device:
    """The device called `wanted`; "auto" takes a GPU if there is one.

    Raises:
        InputError: no such device, or a GPU is asked for that is not there.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", wanted):
        raise InputError(f'"{wanted}" is no device', path="settings", mend='Use "auto", "cpu", "cuda" or "cuda:N".')
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f'no GPU for device "{wanted}"', path="settings", mend='Use device "cpu" or "auto".')
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise InputError(f'no GPU for device "{wanted}": {found} found', path="settings", mend='Use device "cuda".')
    return device


def write_weights(folder: Path, tensors: Mapping[str, Tensor], normaliser: Normaliser, card: ModelCard) -> None:
    """Write `weights.safetensors` and `model.json`; each takes its name only when it is complete.

    Args:
        folder: an existing folder.
        tensors: the model's state.
        normaliser: the statistics that go with them.
        card: what the model is.
    """
    text = json.dumps(card.to_json(), indent=1, sort_keys=True, ensure_ascii=False)
    stored = {f"{_MODEL}{name}": t.detach().cpu().contiguous() for name, t in tensors.items()}
    stored |= {f"{_STATISTICS}{name}": torch.from_numpy(a) for name, a in normaliser.arrays().items()}
    write_whole(folder / WEIGHTS, save_tensors(stored, {_HEADER: text}))
    write_whole(folder / CARD, (text + "\n").encode())


def load_weights(path: Path, *, device: str = "auto") -> Weights:
    """The model in a run folder, or in a `weights.safetensors`.

    Raises:
        InputError: no such file, no weights of ours, a newer version, damaged, or of other features.
    """
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise InputError("holds no weights", path=path, mend="Give a run folder of gsr train, or its weights.")
    where = pick_device(device)
    content = file.read_bytes()
    try:
        with safe_open(str(file), framework="pt") as f:
            header = (f.metadata() or {}).get(_HEADER)
        tensors = load_tensors(content)
    except (SafetensorError, ValueError, OSError) as e:
        raise InputError(f"is no weights file: {e}", path=file, mend="Copy it again, or train again.") from e
    if header is None:
        raise InputError("is no model of gsr train", path=file, mend="Give a run folder, or its weights.")
    card = ModelCard.from_json(json_object(header, path=file, mend="Copy it again, or train again."), path=file)
    if card.model.layers * card.model.width**2 > len(content):  # at least two matrices of (width / 2)^2 floats a layer
        raise InputError("holds fewer weights than its model has", path=file, mend="Copy it again, or train again.")
    model = GsrGnn(card.model)
    statistics = {n.removeprefix(_STATISTICS): t.numpy() for n, t in tensors.items() if n.startswith(_STATISTICS)}
    normaliser = Normaliser.of_arrays(statistics, path=file)
    if DETOUR in card.model.tasks and normaliser.detour is None:
        raise InputError('statistics "detour" are missing', path=file, mend="Copy it again, or train again.")
    if SLACK in card.model.tasks and normaliser.endpoint is None:
        raise InputError('statistics of "endpoint" are missing', path=file, mend="Copy it again, or train again.")
    found = {n.removeprefix(_MODEL): t for n, t in tensors.items() if n.startswith(_MODEL)}
    mend = "Weights and model differ: copy it again, or train again."
    check_tensors(found, model.state_dict(), path=file, mend=mend)
    if len(found) > len(model.state_dict()):
        other = min(found.keys() - model.state_dict().keys())
        raise InputError(f'tensor "{other}" is none of this model', path=file, mend=mend)
    model.load_state_dict(found)
    for name, t in tensors.items():
        if not bool(torch.isfinite(t).all()):
            raise InputError(f'tensor "{name}" holds a value that is not finite', path=file, mend="Train again.")
    model.eval()
    return Weights(model.to(where), card, normaliser, sha256(content), file)

"""The loss of one placement: of its edges, and of nets, endpoints and violations where these are tasks."""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.nn import functional as F

from circuit_io.crop import crop, held_frac, window_at
from circuit_io.transform import transform, transform_cells, transform_edges, without_liberty, without_router
from gsr_plugin.config import TrainConfig
from gsr_plugin.dataset import Sample
from gsr_plugin.detour import detour_loss, usual_detour
from gsr_plugin.graph_tensors import GraphTensors
from gsr_plugin.model import DRC, SLACK, GsrGnn
from gsr_plugin.normaliser import Normaliser
from gsr_plugin.schedule import Step
from gsr_plugin.slack import SlackInputs, slack_loss

LOSS_PARTS = ("loss", "squared", "overflow", "likelihood", "detour", "slack", "drc")
LOG_SIGMA = (-5.0, 3.0)  # in deviations of the target; bounds what one step can do to the likelihood


def placement_loss(
    model: GsrGnn, normaliser: Normaliser, settings: TrainConfig, sample: Sample, item: Step, device: torch.device
) -> tuple[Tensor, dict[str, float]]:
    """Loss of one placement, and its parts: squared error, cross entropy of overflow, likelihood of the error; tasks.

    The first three are means over unmasked edges, the error in deviations of the target. The likelihood sees the error
    as given, so that sigma never buys a worse mean. A net that a window cuts counts for the share that lies inside, and
    so do the endpoints on it.
    """
    graph, labels = sample.graph, sample.labels
    nets, held = np.arange(graph.num_nets), np.ones(graph.num_nets)
    violations = sample.drc if DRC in model.config.tasks else None
    if settings.crop_gcells and max(graph.nx, graph.ny) > settings.crop_gcells:
        window = window_at(graph.nx, graph.ny, settings.crop_gcells, item.place)
        graph, labels, nets = crop(graph, labels, window)
        x, y, nx, ny = window
        violations = None if violations is None else violations[y : y + ny, x : x + nx]
        held = held_frac(sample.graph, graph, nets)
    graph = without_liberty(graph) if item.hide_liberty else graph
    graph = transform(without_router(graph) if item.hide_router else graph, item.symmetry)
    maps = transform_edges(labels.congestion_h, labels.congestion_v, item.symmetry)
    truth = torch.from_numpy(np.stack([m.ravel() for m in maps], axis=1)).to(device)
    features = [torch.from_numpy(x).to(device) for x in normaliser.features(graph).values()]
    ends = _endpoints(sample, nets) if SLACK in model.config.tasks and not item.hide_liberty else None
    told = None
    if ends is not None:
        told = ends.tensors(normaliser.endpoints(ends, hide_router=item.hide_router), device)
    out = model(GraphTensors.of(graph).to(device), *features, told)
    seen = torch.isfinite(truth)
    target = (truth[seen] - normaliser.target_mean) / normaliser.target_std
    error = out.congestion[seen] - target
    squared = error.square().mean()
    overflow = F.binary_cross_entropy_with_logits(out.overflow_logit[seen], (truth[seen] > 1).to(error.dtype))
    log_sigma = out.log_sigma[seen].clamp(*LOG_SIGMA)
    likelihood = (log_sigma + 0.5 * (error.detach() * torch.exp(-log_sigma)).square()).mean()
    terms = [squared, settings.overflow_weight * overflow, settings.sigma_weight * likelihood]
    detour = slack = drc = torch.zeros(())
    if out.detour is not None:
        assert normaliser.detour is not None
        change = (sample.detour[nets] - usual_detour(graph, normaliser)) / normaliser.detour[1]
        log = torch.from_numpy(change).to(error)
        detour = detour_loss(out.detour, log, torch.from_numpy(held).to(error))
        terms.append(settings.detour_weight * detour)
    if out.slack is not None and ends is not None:
        slack = slack_loss(out.slack, ends, held[ends.net])
        terms.append(slack)  # reaches the head alone, so it has no weight
    if out.drc_logit is not None and violations is not None:
        is_violated = transform_cells(violations > 0, item.symmetry).ravel()
        drc = F.binary_cross_entropy_with_logits(out.drc_logit, torch.from_numpy(is_violated).to(error))
        terms.append(drc)  # the same
    taught = [term for term in terms if term.requires_grad] or terms  # some heads may be trained alone
    loss = sum(taught[1:], start=taught[0])
    parts = (loss, squared, overflow, likelihood, detour, slack, drc)
    return loss, {name: float(value.detach()) for name, value in zip(LOSS_PARTS, parts, strict=True)}


def _endpoints(sample: Sample, nets: Int64[np.ndarray, " nets_inside"]) -> SlackInputs | None:
    """The labelled endpoints on these nets; None where there is none."""
    if sample.slack is None or not sample.slack.num_labelled:
        return None
    inside, _ = sample.slack.on(nets)
    return inside if inside.num_labelled else None

"""One call from a flow hook: export, prediction, plan, annotations, report and metrics, then the file `done`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from circuit_io.atomic import write_whole
from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_sources import read_hook, sources_of_hook
from circuit_io.prediction import read_prediction
from circuit_io.store import open_design
from flow_hooks.annotations.annotate import annotate, write_flow_metrics
from flow_hooks.feedback.config import assigned_config
from flow_hooks.feedback.file import read_feedback, write_feedback
from flow_hooks.feedback.planner import plan_feedback
from gsr_plugin.predict import predict
from gsr_plugin.report import report

MODES = ("observe", "advise", "apply", "gate")


@dataclass(frozen=True)
class FlowResult:
    """What a hook's call wrote."""

    out: Path
    run_id: str
    metrics: dict[str, float]
    num_actions: int


def run_flow(
    hook: Path,
    out: Path,
    *,
    mode: str = "observe",
    weights: Path | None = None,
    device: str = "auto",
    log_dir: Path | None = None,
    sets: Sequence[str] = (),
    previous: Path | None = None,
) -> FlowResult:
    """Do for a hook all that runs outside OpenROAD; `out/done` with the hook's run id is written last.

    Args:
        hook: hook.json as `gsr_export_design` writes it.
        out: the step's folder; results of an earlier call are replaced.
        mode: "observe" and "gate" predict, annotate and report; "advise" and "apply" also plan feedback.
        weights: a run folder or weights; the shipped model when not given.
        device: "auto", "cpu" or "cuda".
        log_dir: the flow's folder of logs, where the metrics file named in hook.json goes.
        sets: settings of the planner, like "gentle=always".
        previous: the plan that led to this placement, whose blockages are kept.

    Raises:
        InputError: a bad hook.json, a file it names, a setting, or a plan of another design.
    """
    if mode not in MODES:
        raise InputError(f'mode "{mode}"', path="--mode", mend=f"One of {', '.join(MODES)}.")
    out.mkdir(parents=True, exist_ok=True)
    (out / "done").unlink(missing_ok=True)
    config, earlier = assigned_config(sets), read_feedback(previous) if previous else None
    for name in ("feedback.tsv", "feedback.json"):
        (out / name).unlink(missing_ok=True)
    facts = read_hook(hook)
    if log_dir is not None and facts.get("metrics_file") and not facts.get("metrics_stage"):
        raise InputError('names a "metrics_file" but no "metrics_stage"', path=hook)
    export_design(sources_of_hook(hook, facts), out / "export", overwrite=True)
    run_id = facts.get("run_id") or ""
    predict(out / "export", out / "prediction", weights=weights, device=device, run_id=run_id, overwrite=True)
    prediction = read_prediction(out / "prediction")
    design = open_design(out / "export", verify=False)  # read_prediction compared the hashes
    plan = None
    if mode in ("advise", "apply"):
        plan = plan_feedback(prediction, design.manifest, config, design=design, previous=earlier)
        write_feedback(out / "feedback.tsv", plan, overwrite=True)
    notes = annotate(prediction, design, out, plan=plan, overwrite=True)
    report(out / "prediction", out / "report.html", feedback=out / "feedback.tsv" if plan else None, overwrite=True)
    if log_dir is not None and facts.get("metrics_file"):
        write_flow_metrics(log_dir / facts["metrics_file"], facts["metrics_stage"], notes.metrics)
    write_whole(out / "done", run_id)
    return FlowResult(out, run_id, notes.metrics, len(plan.actions) if plan else 0)

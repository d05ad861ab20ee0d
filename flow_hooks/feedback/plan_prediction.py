"""From a prediction folder to feedback.tsv: what `gsr feedback` does."""

from collections.abc import Sequence
from pathlib import Path

from circuit_io.errors import InputError
from circuit_io.prediction import export_of, read_prediction
from circuit_io.store import open_design
from flow_hooks.feedback.config import assigned_config
from flow_hooks.feedback.file import Plan, read_feedback, write_feedback
from flow_hooks.feedback.planner import plan_feedback


def plan_prediction(
    pred: Path,
    out: Path,
    *,
    sets: Sequence[str] = (),
    previous: Path | None = None,
    overwrite: bool = False,
) -> Plan:
    """Plan feedback for the prediction folder `pred` and write it to `out`; the whole plan as JSON goes beside it.

    Args:
        pred: what `gsr predict` wrote.
        out: the feedback.tsv to write.
        sets: assignments like "threshold=0.9".
        previous: the plan of an earlier round, whose blockages are kept.
        overwrite: replace files that are there.

    Raises:
        InputError: a bad folder or file, an unknown setting, or an output that exists.
    """
    if out.exists() and not overwrite:
        raise InputError("exists already", path=out, mend="Pass --overwrite to replace it, or choose another --out.")
    config = assigned_config(sets)
    prediction = read_prediction(pred)
    export = export_of(pred, prediction.manifest, verify=False)  # read_prediction compared the hashes
    design = open_design(export, verify=False)
    earlier = read_feedback(previous) if previous else None
    plan = plan_feedback(prediction, design.manifest, config, design=design, previous=earlier)
    write_feedback(out, plan, overwrite=overwrite)
    return plan

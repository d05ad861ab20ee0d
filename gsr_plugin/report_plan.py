"""The feedback plan in a report: what is planned, why, and what became of it."""

from collections.abc import Collection

from circuit_io.maps import Prediction
from flow_hooks.feedback.actions import ACTIONS
from flow_hooks.feedback.file import Plan, blocked_share
from flow_hooks.feedback.record import Record
from gsr_plugin.document import Block, Bullets, Cell, Code, Details, Figure, Heading, InMarkdown, Paragraph, Table
from gsr_plugin.figures import Picture, ramp_picture
from gsr_plugin.report_words import box_text

MAX_ROWS = 200  # of the table of actions; feedback.tsv holds the rest


def plan_section(
    prediction: Prediction, plan: Plan, record: Record | None, pictures: list[Picture], beside: Collection[str] = ()
) -> list[Block]:
    """What is planned and why, in words and as a table; `pictures` gains the map of the blockages."""
    blocks: list[Block] = [Heading("Feedback plan", "plan"), Paragraph(plan.verdict or "No reason was recorded.")]
    if plan.of("density_blockage"):
        share = blocked_share(plan, prediction.x_um, prediction.y_um)
        top = max(0.5, float(share.max()))
        pictures.append(ramp_picture("plan", [share], "share", top))
        caption = (
            "The share of each gcell that soft density blockages keep free during global placement; the bar runs from "
            f"0 to {top:g}."
        )
        blocks.append(InMarkdown([Figure("plan", "Planned density blockages", caption)]))
    if record is not None:
        blocks.append(_record_paragraph(record))
    if plan.free_area_um2 == plan.free_area_um2:  # not NaN
        used = f"{plan.used_um2:,.0f} of {plan.budget_um2:,.0f} um^2 of the budget used"
        blocks.append(Paragraph(f"{used}; free area {plan.free_area_um2:,.0f} um^2."))
    if plan.notes:
        blocks.append(Bullets(list(plan.notes)))
    if plan.advice:
        blocks += [Paragraph("Besides:"), Bullets(list(plan.advice))]
    if plan.actions:
        blocks.append(_actions(plan, record, beside))
    return blocks


def _record_paragraph(record: Record) -> Paragraph:
    if record.refused:
        return Paragraph(f"The flow refused the plan: {record.refused}", "bad")
    counts = ", ".join(f"{n} {state}" for state, n in record.counts().items())
    return Paragraph(f"What became of it in the flow (mode {record.mode}, step {record.step}): {counts or 'nothing'}.")


def _actions(plan: Plan, record: Record | None, beside: Collection[str]) -> Details:
    rows: list[list[Cell]] = [
        [a.action, Code(a.target) if a.target else "", box_text(a.box_um), a.layer, a.value, f"{a.score:.2f}",
         *([record.states[i], record.reasons[i]] if record else [])]
        for i, a in enumerate(plan.actions[:MAX_ROWS])
    ]  # fmt: skip
    columns = ["action", "inst", "box (um)", "layer", "value", "score", *(["became", "reason"] if record else [])]
    table = Table(columns, rows, frozenset({4, 5}))
    kinds = dict.fromkeys(a.action for a in plan.actions)
    meanings = Bullets([(Code(kind), f": {ACTIONS[kind].meaning}.") for kind in kinds])
    more = len(plan.actions) - MAX_ROWS
    where = "in feedback.tsv" if "feedback.tsv" in beside else "not listed"
    rest: list[Block] = [Paragraph(f"{more} more are {where}.")] if more > 0 else []
    return Details(f"All actions ({len(plan.actions)})", [meanings, table, *rest])

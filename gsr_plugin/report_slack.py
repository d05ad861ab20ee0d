"""The report's section on slack after global route."""

import numpy as np

from circuit_io.maps import Prediction
from gsr_plugin.document import Block, Cell, Code, Heading, Paragraph, Table

MAX_ENDPOINTS = 15


def slack_section(prediction: Prediction) -> list[Block]:
    """The endpoints with the worst predicted slack, and what routing takes; nothing without that task."""
    slacks = prediction.slacks
    if slacks is None:
        return []
    before = np.minimum(slacks.slack_ns, 0)
    text = (
        f"Predicted worst slack after global route: {slacks.ws_ns():.3f} ns, before it {slacks.slack_ns.min():.3f}; "
        f"total negative slack {slacks.tns_ns():.3f} ns, before it {before.sum():.3f}. All endpoints are in "
        "endpoints.csv."
    )
    first = np.argsort(slacks.routed_ns, kind="stable")[:MAX_ENDPOINTS].tolist()
    shown = np.stack([slacks.slack_ns, slacks.routed_ns, slacks.routed_ns - slacks.slack_ns], axis=1)
    rows: list[list[Cell]] = [[Code(slacks.pin[i]), *(f"{v:.3f}" for v in shown[i])] for i in first]
    columns = ["endpoint", "before routing (ns)", "predicted (ns)", "change (ns)"]
    heading = Heading("Slack after global route", "slack", 3)
    return [heading, Paragraph(text), Table(columns, rows, frozenset({1, 2, 3}))]

"""What became of the actions of a plan, from the record that the hooks write: gsr_feedback.json."""

import json
from dataclasses import dataclass
from pathlib import Path

from circuit_io.errors import InputError
from circuit_io.text import read_bytes
from flow_hooks.feedback.file import Plan

SCHEMA, VERSION = "gsr-feedback-record", 1
RECORD = "gsr_feedback.json"
STATES = ("applied", "skipped", "unsupported")
_FIRST_LINE = 3  # of the actions in a plan's file
_MEND = "Give the gsr_feedback.json that the flow wrote for this plan, or none."


@dataclass(frozen=True)
class Record:
    """For each action of a plan its state and the reason; `refused` says why the whole plan was, or is empty."""

    states: tuple[str, ...]
    reasons: tuple[str, ...]
    refused: str
    mode: str
    step: str

    def counts(self) -> dict[str, int]:
        """How many actions are in each state."""
        return {state: n for state in STATES if (n := self.states.count(state))}


def read_record(path: Path | str, plan: Plan) -> Record:
    """The record in `path` of the plan `plan`.

    Raises:
        InputError: not such a file, of a newer version, or of another plan.
    """
    path = Path(path)
    try:
        found = json.loads(read_bytes(path))
        if found["schema"] != SCHEMA or not 1 <= int(found["schema_version"]) <= VERSION:
            raise InputError(f'"{SCHEMA}" of version {VERSION} expected', path=path, mend=_MEND)
        states, reasons = ["" for _ in plan.actions], ["" for _ in plan.actions]
        if str(found["run_id"]) != plan.run_id and not found["refused"]:
            raise InputError(f'is of run "{found["run_id"]}", the plan of "{plan.run_id}"', path=path, mend=_MEND)
        for row in found["actions"]:
            at = int(row["line"]) - _FIRST_LINE
            if not 0 <= at < len(states) or row["action"] != plan.actions[at].action or row["status"] not in STATES:
                raise InputError(f"line {row['line']} is not of this plan", path=path, mend=_MEND)
            states[at], reasons[at] = str(row["status"]), str(row["reason"])
        return Record(
            tuple(states), tuple(reasons), str(found["refused"]), str(found.get("mode", "")), str(found.get("step", ""))
        )
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise InputError(f"is no record of a plan: {e!r}", path=path, mend=_MEND) from e

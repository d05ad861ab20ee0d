"""One arm of one case of the closed loop, in a process of its own: `python -m flow_hooks.loop.job TASK FOLDER`."""

import sys
from pathlib import Path
from typing import Any

from circuit_io.manifest import read_json_object
from flow_hooks.feedback.config import FeedbackConfig
from flow_hooks.jobs.folders import JOB_FILE
from flow_hooks.jobs.process import job_main
from flow_hooks.loop.arms import Base, run_arm
from flow_hooks.loop.cases import Case
from flow_hooks.loop.server import WarmServer
from flow_hooks.loop.steps import Tools


def _run_task(task: dict[str, Any], folder: Path) -> dict[str, Any]:
    tools = Tools(
        openroad=task["openroad"],
        predict=tuple(task["predict"]),
        server=WarmServer(folder.absolute() / "server"),
        config=FeedbackConfig(**task["config"]),
        rounds=task["rounds"],
        time_s=task["step_s"],
    )
    base = None
    if task["base"]:
        base = Base(Path(task["base"]), read_json_object(Path(task["base"]) / JOB_FILE))
    case = Case.from_json(task["case"])
    try:
        return run_arm(task["arm"], case, tools, folder, base=base, num_placements=task["num_placements"])
    finally:
        tools.server.address.unlink(missing_ok=True)  # the folder is about to move; the server sees us end


if __name__ == "__main__":
    sys.exit(job_main(_run_task))

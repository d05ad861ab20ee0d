"""Processor seconds of the stages of a hook's call in a new process, as one line of JSON: a part of `bench/serve.py`.

    python bench/serve_stages.py HOOK OUT

As in the program, no garbage is looked for in imports. `technology` is what the first export takes longer than a second
one of the same design: LEF, Liberty, and pandas, which pyarrow loads where it is installed. `again` is a second call in
the same process.
"""

import gc
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


class Laps:
    """Processor seconds since the last lap, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = 0.0

    def end(self, name: str) -> None:
        """What has run since the last lap was this."""
        now = time.process_time()
        self.seconds[name], self._last = now - self._last, now


def measure(hook: Path, out: Path) -> None:
    """Do the stages and print what they took."""
    laps = Laps()
    from gsr_plugin import cli

    cli._torch_settings()
    laps.end("python and command line")
    gc.disable()
    import numpy  # noqa: F401
    import pyarrow  # noqa: F401

    laps.end("numpy, pyarrow")
    import torch  # noqa: F401

    laps.end("torch")
    from circuit_io.export import export_design
    from circuit_io.export_sources import sources_of_hook
    from gsr_plugin.flow import run_flow
    from gsr_plugin.predict import predict

    gc.freeze()
    gc.enable()
    laps.end("other imports")
    out.mkdir(exist_ok=True)
    for name in ("first export", "export"):
        export_design(sources_of_hook(hook), out / "export", overwrite=True)
        laps.end(name)
    first = laps.seconds.pop("first export")
    laps.seconds["technology"] = first - laps.seconds["export"]
    for name in ("first prediction", "prediction again"):
        predict(out / "export", out / "prediction", overwrite=True)
        laps.end(name)
    run_flow(hook, out / "flow", mode="advise")
    laps.end("first flow")
    run_flow(hook, out / "flow", mode="advise")
    laps.end("again")
    laps.seconds["plan, marks, report"] = laps.seconds.pop("first flow") - laps.seconds["export"]
    laps.seconds["plan, marks, report"] -= laps.seconds.pop("prediction again")
    print(json.dumps(laps.seconds))


if __name__ == "__main__":
    measure(Path(sys.argv[1]), Path(sys.argv[2]))

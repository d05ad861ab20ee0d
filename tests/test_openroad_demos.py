"""demos/openroad: ten lines of Tcl and of Python in an openroad, outside any flow (`pytest -m openroad`)."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from circuit_io.prediction import read_prediction
from flow_hooks.openroad.binary import find_openroad

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.openroad
def test_tcl_and_python_inside_openroad_predict_the_same(tmp_path: Path) -> None:
    found = find_openroad()
    if not found or not found[0].is_file():
        pytest.skip("no openroad: set GSR_OPENROAD to the binary")
    (tmp_path / "demos").symlink_to(ROOT / "demos")
    env = {k: v for k, v in os.environ.items() if not k.startswith("GSR_")}
    env |= {"GSR_PYTHON": sys.executable, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for words in (["demos/openroad/predict.tcl"], ["-python", "demos/openroad/predict.py"]):
        run = subprocess.run(
            [str(found[0]), "-exit", "-no_init", "-no_splash", *words], cwd=tmp_path, env=env,
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stdout + run.stderr
        assert "FLW-7001" in run.stdout
        assert "rank  direction" in run.stdout
        assert "WARNING" not in run.stdout
    one, other = (read_prediction(tmp_path / "out" / "openroad" / name / "prediction") for name in ("tcl", "python"))
    for name, values in one.maps.items():
        np.testing.assert_array_equal(other.maps[name], values, err_msg=name)


def test_the_docs_show_the_script_as_it_is() -> None:
    lines = (ROOT / "demos" / "openroad" / "predict.py").read_text().splitlines()
    assert "\n".join(lines[2:]) in (ROOT / "docs" / "flow.md").read_text()

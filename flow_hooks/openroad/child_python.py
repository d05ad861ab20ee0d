"""The Python that a flow tool starts: which one the hooks take, and its environment. gsr_child.tcl does the same."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

# A flow tool's environment may set these for itself; they would mislead another Python.
FOREIGN = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH")
OWN = (("OMP_WAIT_POLICY", "passive"), ("PYTHONSAFEPATH", "1"), ("PYTHONUNBUFFERED", "1"))
_WORD = r'\{([^{}]*)\}(?!\S)|"([^"]*)"(?!\S)|([^\s{"]\S*)'  # of a list of Tcl


def child_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child of a flow tool that has this one."""
    return {name: value for name, value in env.items() if name not in FOREIGN} | dict(OWN)


def hook_python(env: Mapping[str, str], home: Path) -> tuple[list[str], str]:
    """The words that run the Python of the hooks, and what names it.

    Args:
        env: the environment of the flow tool.
        home: the folder of gsr.tcl.
    """
    candidates = (
        (env.get("GSR_PYTHON", "").strip(), "GSR_PYTHON"),
        (_environment_python(home), "the environment of the package"),
        (env.get("PYTHON_EXE", "").strip(), "PYTHON_EXE"),
        ("python3", "PATH"),
    )
    given, named_by = next(c for c in candidates if c[0])
    search = env.get("PATH", "").strip() or "/usr/bin:/bin"
    words = [given]
    if not shutil.which(given, path=search) and re.fullmatch(rf"(?:\s*(?:{_WORD}))+", given):
        words = ["".join(groups) for groups in re.findall(_WORD, given)]
    program = shutil.which(words[0], path=search)
    return ([program, *words[1:]] if program else [given]), named_by


def _environment_python(home: Path) -> str:
    packages = home.absolute().parents[1]
    if packages.name not in ("site-packages", "dist-packages"):
        return ""
    found = (packages.parents[2] / "bin" / name for name in ("python3", "python"))
    return next((str(path) for path in found if shutil.which(path)), "")

"""The house: imports point one way, torch stays in its room, and what runs beside a flow tool stays light."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "circuit_io": {"circuit_io"},
    "flow_hooks": {"circuit_io", "flow_hooks"},
    "librelane_plugin_gsr": {"circuit_io", "flow_hooks", "librelane_plugin_gsr"},
    "gsr_plugin": {"circuit_io", "flow_hooks", "gsr_plugin"},
}


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_one_way(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        imports = _imports(path)
        assert imports & set(MAY_IMPORT) <= MAY_IMPORT[room], path
        if room != "gsr_plugin":
            assert "torch" not in imports, path


def test_a_folder_of_the_hooks_imports_those_above_it() -> None:
    room = ROOT / "flow_hooks"
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or ""
    order = [line.split()[0] for line in text.splitlines() if "  " in line]
    assert order.pop() == "tcl"
    assert set(order) == {p.parent.name for p in room.glob("*/__init__.py")}
    for path in sorted(room.rglob("*.py")):
        own = order.index(path.parent.name) if path.parent != room else -1
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flow_hooks."):
                folder = str(node.module).split(".")[1]
                assert folder not in order or order.index(folder) <= own, f"{path.relative_to(room)}: {node.module}"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("circuit_io.export", ["torch", "matplotlib", "liberty", "klayout", "scipy", "pandas"]),
        ("circuit_io.metric_keys", ["numpy", "pyarrow"]),
        ("flow_hooks.feedback.planner", ["torch", "matplotlib"]),
        ("gsr_plugin.flow", ["scipy", "triton", "matplotlib", "rich"]),
        ("gsr_plugin.cli", ["torch", "numpy", "pyarrow", "matplotlib", "scipy"]),
    ],
)
def test_a_module_loads_without_heavy_ones(module: str, absent: list[str]) -> None:
    code = f"import sys, {module}; print(*[m for m in {absent!r} if m in sys.modules])"
    env = os.environ | {
        "CUDA_VISIBLE_DEVICES": "",
        "TRITON_INTERPRET": "0",
    }  # where kernels of Triton run, it is loaded
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=env)
    assert done.stdout.split() == []


def test_what_is_loaded_is_kept_from_the_search_for_garbage_once() -> None:
    code = """if True:
        import gc
        from gsr_plugin.cli.program import loading

        assert gc.isenabled() and not gc.get_freeze_count()
        try:
            with loading():
                assert not gc.isenabled()
                import circuit_io.export
                raise ImportError
        except ImportError:
            pass
        kept = gc.get_freeze_count()
        assert gc.isenabled() and kept > 10_000
        with loading():
            more = [[] for _ in range(1000)]
        assert gc.get_freeze_count() <= kept  # what a served command makes is not kept for ever
    """
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

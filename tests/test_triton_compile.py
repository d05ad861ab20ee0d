"""Every Triton kernel compiled to machine code for three generations of GPUs, without one: no spills, no atomics."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

triton = pytest.importorskip("triton", reason="no triton: pip install triton")
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("a process of Triton's interpreter cannot compile", allow_module_level=True)

from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from gsr_plugin.ops.box import triton as box
from gsr_plugin.ops.packed_linear import triton as packed_linear
from gsr_plugin.ops.residual import triton as residual
from gsr_plugin.ops.segment import triton as segment
from gsr_plugin.ops.tiles import LAUNCH, NARROW, rows_of, width_of
from gsr_plugin.ops.topk import triton as topk

CAPABILITIES = [80, 90, 100]
SHARED_LIMIT = {80: 163 * 1024, 90: 227 * 1024, 100: 227 * 1024}  # bytes a block may use
POINTERS = {
    "index": "*u8", "idx": "*i32", "start_of": "*i32", "stop_of": "*i32", "out_row": "*i32", "long_row": "*i32",
    "first": "*i32", "last": "*i32",
}  # fmt: skip
NUMBERS = dict.fromkeys(["h", "n", "m", "b1", "b2", "t1", "t2", "steps", "step", "lanes", "other"], "i32")
NUMBERS |= dict.fromkeys(["over_h", "up", "down"], "fp32")


class Case(NamedTuple):
    """A kernel with the constants of one use."""

    name: str
    kernel: Any
    constants: dict[str, int | bool]
    options: dict[str, int | bool]
    bf16: tuple[str, ...] = ()  # arguments that point to bfloat16


def cases() -> Iterator[Case]:
    """Every kernel, at the width of the shipped model (h = 32, k = 8) and where it matters at the published one."""
    yield Case("update", residual.update, {"ROUND": True, "MOST": True, "TILE": residual.TILE}, LAUNCH)
    yield Case("scan", box.scan, {"COLUMNS": box.COLUMNS}, NARROW)
    for h, k in ((32, 8), (192, 32)):
        width = width_of(h)
        tile = {"K": k, "ROWS": rows_of(width), "WIDTH": width}
        flags = {"NORM": True, "MAGNITUDE": False, "RELU": False}
        yield Case(f"select-{h}", topk.select, tile | flags | {"CHOSEN": False}, NARROW)
        yield Case(f"repack-{h}", topk.select, tile | flags | {"CHOSEN": True}, NARROW)
        yield Case(f"select_bf16-{h}", topk.select, tile | flags | {"CHOSEN": False}, NARROW, ("values",))
        yield Case(f"repack_bf16-{h}", topk.select, tile | flags | {"CHOSEN": True}, NARROW, ("values",))
        yield Case(f"norm_adjoint-{h}", topk.norm_adjoint, tile, NARROW)
        yield Case(f"sum_pieces-{h}", segment.sum_pieces, {"WEIGHTED": True, "WIDTH": width}, NARROW)
        yield Case(f"sum_parts-{h}", segment.sum_parts, {"WIDTH": width}, NARROW)
        yield Case(f"sum_chunk-{h}", segment.sum_chunk, {"CHUNK": 256, "WIDTH": width}, NARROW)
        product = {"K": k, "ROWS": packed_linear.ROWS, "COLUMNS": packed_linear.COLUMNS}
        yield Case(f"product-{h}", packed_linear.product, product, LAUNCH)
        yield Case(f"product_values-{h}", packed_linear.product_values, product, LAUNCH)
        half = ("values", "weight")
        yield Case(f"product_bf16-{h}", packed_linear.product, product, LAUNCH, half)
        yield Case(f"product_values_bf16-{h}", packed_linear.product_values, product, LAUNCH, half)
        wide = product | {"CHUNK": packed_linear.CHUNK, "SOURCES": min(packed_linear.MAX_SOURCES, width)}
        yield Case(f"product_weight-{h}", packed_linear.product_weight, wide, LAUNCH)
        yield Case(f"product_weight_bf16-{h}", packed_linear.product_weight, wide, LAUNCH, half)


CASES = list(cases())


def ptxas() -> Path:
    """The assembler that triton brings for its newest PTX."""
    found = Path(triton.__file__).parent.glob("backends/nvidia/bin/ptxas-blackwell")
    return next(found)


def test_every_kernel_is_compiled() -> None:
    written = {
        name
        for module in (box, packed_linear, residual, segment, topk)
        for name, value in vars(module).items()
        if isinstance(value, triton.JITFunction) and value.fn.__module__ == module.__name__
    }
    assert written - {"tile_rows", "normed"} == {case.kernel.fn.__name__ for case in CASES}


def runs() -> Iterator[Any]:
    """Every case for every capability; those of the published width take a minute."""
    for case in CASES:
        marks = [pytest.mark.slow] if case.name.endswith("-192") else []
        for capability in CAPABILITIES:
            yield pytest.param(case, capability, marks=marks, id=f"{case.name}-sm{capability}")


@pytest.mark.parametrize(("case", "capability"), list(runs()))
def test_machine_code_without_spills_and_atomics(case: Case, capability: int, tmp_path: Path) -> None:
    kernel = case.kernel
    signature = {
        a: "constexpr" if a in case.constants else NUMBERS.get(a) or POINTERS.get(a, "*fp32") for a in kernel.arg_names
    } | {a: "*bf16" for a in case.bf16 if a in kernel.arg_names}
    source = ASTSource(fn=kernel, signature=signature, constexprs=case.constants)
    built = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=dict(case.options))
    ptx = built.asm["ptx"]
    assert len(built.asm["cubin"]) > 1000
    assert built.metadata.shared <= SHARED_LIMIT[capability]
    assert not re.search(r"(?<![\w.])(atom|red)\.", ptx)
    if case.kernel is not packed_linear.product_weight:
        assert not re.search(r"\bfma\.", ptx), "every step rounds on its own"
    (tmp_path / "kernel.ptx").write_text(ptx)
    target = re.search(r"\.target (\w+)", ptx)
    assert target
    command = [ptxas(), "-v", f"-arch={target[1]}", tmp_path / "kernel.ptx", "-o", tmp_path / "kernel.cubin"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", said)
    assert spills, said
    assert spills.groups() == ("0", "0"), said

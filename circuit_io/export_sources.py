"""What an export is made of: the files of a design and its settings, from a hook, a label folder or options."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from circuit_io import labels as label_files
from circuit_io.access_points import FILE as ACCESS_FILE
from circuit_io.errors import InputError
from circuit_io.export_modules import RtlSources
from circuit_io.export_timing import TimingSources
from circuit_io.manifest import (
    BOX,
    FILE_NAME,
    FLAG,
    LAYER_RANGE,
    NUMBER,
    OBJECT,
    TEXT,
    TEXTS,
    check_kinds,
    check_version,
    is_number,
    read_json_object,
)

_VARIABLE = re.compile(r"(::)?[A-Za-z_]\w*(\([\w.,:-]+\))?")
_HOOK = {
    "lefs": TEXTS.must(),
    "def": TEXT.must(),
    "design": TEXT.must(),
    "libs": TEXTS,
    "signal_layers": LAYER_RANGE,
    "layer_adjustment": OBJECT,
    "dbu_per_um": NUMBER,
    "die_um": BOX,
    "metrics_file": FILE_NAME,
    "improve_placement": FLAG,
    "routability_driven": TEXT,
    "worst_slack_ns": NUMBER,
    **dict.fromkeys(("rtl", "rtl_include", "rtl_defines"), TEXTS),
    **dict.fromkeys(
        ("access_points", "verilog", "sdc", "family", "platform", "stage", "run_id", "metrics_stage"), TEXT
    ),
}
HOOK_FACTS = ("improve_placement", "routability_driven", "worst_slack_ns")  # what a planner asks for besides


@dataclass(frozen=True)
class ExportSources:
    """The files of one design and what the flow knows beside them.

    `layer_adjustment` is by layer name or "*", and was read in `adjustment_path`. `hook` is what the flow's hook
    said of the design, which the DEF must agree with. `router_runs`: see `router_features.with_router`.
    `endpoint_slack` is a table of slacks before routing, else that of the labels. `access_points`: see `AccessPoints`.
    """

    lef: list[Path]
    def_: Path
    lib: list[Path] = field(default_factory=list)
    verilog: Path | None = None
    labels: Path | None = None
    signal_layers: tuple[str, str] | None = None
    layer_adjustment: dict[str, float] = field(default_factory=dict)
    adjustment_path: Path | str = "--layer-adjustment"
    hook: Mapping[str, Any] | None = None
    gcell_um: float | None = None
    family: str | None = None
    technology: str | None = None
    stage: str = "place"
    variant: str | None = None
    rtl: RtlSources = field(default_factory=RtlSources)
    timing: TimingSources = field(default_factory=TimingSources)
    router_runs: int | None = None
    endpoint_slack: Path | None = None
    access_points: Path | None = None


def parse_layer_range(text: str) -> tuple[str, str]:
    """`met1-met4` as ("met1", "met4").

    Raises:
        InputError: the text is not LOW-HIGH.
    """
    low, dash, high = text.partition("-")
    if not (low and dash and high):
        raise InputError(f'"{text}" is no layer range', path="--signal-layers", mend="Write LOW-HIGH, as in met1-met5.")
    return low.strip(), high.strip()


def parse_adjustment(text: str) -> dict[str, float]:
    """`0.3` for all layers, or `met1=0.8,met2=0.5`, by layer name; "*" stands for every layer.

    Raises:
        InputError: a part is no number between 0 and 1, or has no layer name.
    """
    out: dict[str, float] = {}
    for part in text.split(","):
        layer, equals, value = part.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        is_one = bool(layer.strip() if equals else "," not in text) and layer.strip() not in out
        if not 0 <= number <= 1 or not is_one:
            raise InputError(
                f'"{part}" is no adjustment', path="--layer-adjustment",
                mend="Write one number from 0 to 1, or LAYER=NUMBER,LAYER=NUMBER with each layer once.",
            )  # fmt: skip
        out[layer.strip() or "*"] = number
    return out


def read_hook(path: Path) -> dict[str, Any]:
    """What a flow hook wrote into `hook.json`.

    Raises:
        InputError: not such a file, a key is missing, or a value is of the wrong kind.
    """
    hook = read_json_object(path)
    if hook.get("schema") != "gsr-hook":
        raise InputError('is not of schema "gsr-hook" version 1', path=path, mend="Use the gsr.tcl of this version.")
    check_version(hook, newest=1, path=path)
    check_kinds(hook, _HOOK, path=path, mend="Use the gsr.tcl of this version.")
    return hook


def sources_of_hook(path: Path, hook: Mapping[str, Any] | None = None) -> ExportSources:
    """The files and settings of a flow hook; paths are relative to its folder unless absolute.

    Args:
        path: hook.json.
        hook: what `read_hook` found there, if it was read already.

    Raises:
        InputError: see `read_hook`.
    """
    hook = read_hook(path) if hook is None else hook

    def place(name: str) -> Path:
        return path.parent / name

    layers = hook.get("signal_layers")
    return ExportSources(
        lef=[place(p) for p in hook["lefs"]],
        def_=place(hook["def"]),
        lib=[place(p) for p in hook.get("libs") or []],
        verilog=place(hook["verilog"]) if hook.get("verilog") else None,
        signal_layers=(layers[0], layers[1]) if layers else None,
        layer_adjustment=fractions_of(hook.get("layer_adjustment") or {}, path),
        adjustment_path=path,
        hook=hook,
        family=hook.get("family") or hook["design"],
        technology=hook.get("platform") or None,
        stage=hook.get("stage") or "place",
        rtl=RtlSources(
            [place(p) for p in hook.get("rtl") or []],
            hook.get("rtl_defines") or [],
            [place(p) for p in hook.get("rtl_include") or []],
            is_lenient=True,
        ),
        timing=TimingSources(sdc=place(hook["sdc"]) if hook.get("sdc") else None, is_lenient=True),
        access_points=place(hook["access_points"]) if hook.get("access_points") else None,
    )


def sources_of_labels(folder: Path, *, lef: list[Path], lib: list[Path] | None = None) -> ExportSources:
    """The placement and parameters of a label folder (`placed.def`, `done.json`), labels included.

    Labels that were routed after `pin_access` bring its access points, where the router went for pins.
    """
    done, path = label_files.read_parameters(folder), label_files.find(folder, "done.json")
    layers = done.get("signal_layers")
    return ExportSources(
        lef=lef,
        def_=label_files.find(folder, "placed.def"),
        lib=lib or [],
        labels=folder,
        signal_layers=(layers[0], layers[1]) if layers else None,
        layer_adjustment=fractions_of(done["layer_adjustment"], path),
        adjustment_path=path,
        family=done.get("family"),
        technology=done.get("tech"),
        variant=done.get("variant"),
        access_points=label_files.find(folder, ACCESS_FILE) if label_files.has(folder, ACCESS_FILE) else None,
    )


def sources_of_options(
    *,
    lef: Sequence[Path] = (),
    def_: Path | None = None,
    lib: Sequence[Path] = (),
    verilog: Path | None = None,
    signal_layers: str | None = None,
    layer_adjustment: str | None = None,
    gcell_um: float | None = None,
    family: str | None = None,
    technology: str | None = None,
    variant: str | None = None,
    stage: str | None = None,
    labels: Path | None = None,
    hook: Path | None = None,
    rtl: Sequence[Path] = (),
    rtl_include: Sequence[Path] = (),
    rtl_define: Sequence[str] = (),
    spef: Path | None = None,
    sdc: Path | None = None,
    sdc_variable: Sequence[str] = (),
    router_runs: int | None = None,
    endpoint_slack: Path | None = None,
    access_points: Path | None = None,
) -> ExportSources:
    """What a hook or a label folder says, overridden by the options that are given.

    Raises:
        InputError: neither a hook nor LEF, no DEF, or an option that cannot be read.
    """
    if hook is not None:
        base = sources_of_hook(hook)
    elif not lef:
        raise InputError("no LEF files", path="command line", mend="Give --lef F.. (technology first), or --hook.")
    elif labels is not None and (def_ is None or label_files.has(labels, "done.json")):
        base = sources_of_labels(labels, lef=list(lef), lib=list(lib))
    elif def_ is None:
        raise InputError("no DEF file", path="command line", mend="Give --def F, --labels DIR or --hook F.")
    else:
        base = ExportSources(lef=list(lef), def_=def_)
    given: dict[str, Any] = {
        "lef": list(lef) or None,
        "def_": def_,
        "lib": list(lib) or None,
        "verilog": verilog,
        "signal_layers": parse_layer_range(signal_layers) if signal_layers else None,
        "layer_adjustment": parse_adjustment(layer_adjustment) if layer_adjustment else None,
        "adjustment_path": "--layer-adjustment" if layer_adjustment else None,
        "gcell_um": gcell_um,
        "family": family,
        "technology": technology,
        "variant": variant,
        "stage": stage,
        "labels": labels,
        "router_runs": router_runs,
        "endpoint_slack": endpoint_slack,
        "access_points": access_points,
        "rtl": _rtl(rtl, rtl_define, rtl_include),
        "timing": _timing(base.timing, spef, sdc, sdc_variable) if spef or sdc or sdc_variable else None,
    }
    return replace(base, **{name: value for name, value in given.items() if value is not None})


def _rtl(paths: Sequence[Path], defines: Sequence[str], include: Sequence[Path]) -> RtlSources | None:
    for option, given in (("--rtl-define", defines), ("--rtl-include", include)):
        if given and not paths:
            raise InputError("no RTL", path=option, mend="Give --rtl F too.")
    return RtlSources(paths, defines, include) if paths else None


def _timing(base: TimingSources, spef: Path | None, sdc: Path | None, variables: Sequence[str]) -> TimingSources:
    if variables and not (sdc or base.sdc):
        raise InputError("no SDC file", path="--sdc-variable", mend="Give --sdc F, or a --hook that names one.")
    return TimingSources(spef, sdc or base.sdc, base.is_lenient and not sdc, parse_variables(variables))


def parse_variables(texts: Sequence[str]) -> dict[str, str]:
    """Values by Tcl variable from `NAME=VALUE` each; a name may be an element of an array, as in `env(PERIOD)`.

    Raises:
        InputError: no name, or one that is not plain; a name that comes twice.
    """
    out: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not _VARIABLE.fullmatch(name) or name in out:
            what = f'"{name}" comes twice' if name in out else f'"{text}" is not understood'
            raise InputError(what, path="--sdc-variable", mend="Write NAME=VALUE, as in 'env(CLOCK_PERIOD)=2.5'.")
        out[name] = value
    return out


def fractions_of(adjustment: object, path: Path | str) -> dict[str, float]:
    """Adjustments by layer, each checked to be a number from 0 to 1; a bare one stands for every layer."""
    out = {}
    for name, value in adjustment.items() if isinstance(adjustment, Mapping) else [("*", adjustment)]:
        if not is_number(value) or not 0 <= value <= 1:
            where = "" if name == "*" else f' of layer "{name}"'
            raise InputError(f"the adjustment{where} is {value!r}", path=path, mend="Expected a number from 0 to 1.")
        out[name] = float(value)
    return out

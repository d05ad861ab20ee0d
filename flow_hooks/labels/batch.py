"""The batch file of `gsr label`: technologies, designs, variants, a sampler and limits, checked on load."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from circuit_io.errors import InputError, did_you_mean
from circuit_io.text import read_bytes

SCHEMA = "gsr-batch"
_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}$"  # names become folders
_LAYERS = r"^[^-\s]+-[^-\s]+$"

Name = Annotated[str, Field(pattern=_NAME)]
Layers = Annotated[str, Field(pattern=_LAYERS, description="LOW-HIGH, as in M2-M5")]
Share = Annotated[float, Field(ge=0, le=1)]
Iterations = Annotated[int, Field(strict=True, ge=0, le=64)]  # detailed_route takes 64 at most
Adjustment = Share | dict[str, Share]
Range = tuple[float, float]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Technology(_Strict):
    """What the designs of a technology share. Tcl files are those of its platform in OpenROAD-flow-scripts."""

    lef: list[str] = Field(min_length=1, description="LEF files, the technology first")
    lib: list[str] = Field(default=[], description="Liberty files")
    signal_layers: Layers | None = None
    clock_layers: Layers | None = Field(default=None, description="up to the highest of signal_layers")
    layer_adjustment: Adjustment | None = Field(default=None, description="the platform's own")
    detailed_iterations: Iterations = Field(default=0, description="of the detailed router, for DRC labels; 0 for none")
    pin_access: bool = Field(default=False, description="call pin_access before the global router, as ORFS does")
    layer_stacks: list[Layers] = Field(default=[], description="for the sampler, instead of its signal_layers")
    site: str = Field(default="", description="of the rows")
    pin_layers: tuple[str, str] | None = Field(default=None, description="horizontal and vertical layer of place_pins")
    core_margin_um: float = Field(default=1.0, ge=0)
    tracks: str = Field(default="", description="Tcl that makes the tracks; else make_tracks")
    rc: str = Field(default="", description="Tcl that sets resistances and capacitances of layers")
    taps: str = Field(default="", description="Tcl that places taps and end caps, or cuts rows")
    power_grid: str = Field(default="", description="Tcl that defines the power grid; pdngen is called after it")
    env: dict[str, str] = Field(default={}, description="environment variables that these Tcl files read")


class DesignEntry(_Strict):
    """A design: a placed DEF, or a netlist to be placed."""

    technology: str
    def_: str = Field(default="", alias="def", description="placed DEF")
    netlist: str = Field(default="", description="Verilog")
    top: str = Field(default="", description="of the netlist; else the design's name")
    sdc: str = ""
    macros: str = Field(default="", description="Tcl that places the macros")
    family: str = Field(default="", description="designs that share RTL have the same")
    stage: str = "place"
    signal_layers: Layers | None = None
    layer_adjustment: Adjustment | None = None
    detailed_iterations: Iterations | None = None
    pin_access: bool | None = None


class Runs(_Strict):
    """Finished runs of a flow, whose route is labelled as it is."""

    technology: str
    dir: str = Field(min_length=1, description="runs at any depth below: results of ORFS, or runs of LibreLane")
    read: Literal["odb", "guides"] = Field(
        default="odb", description="odb: its database, in OpenROAD; guides: its route guides and DEF, approximate"
    )
    signal_layers: Layers | None = Field(default=None, description="else LibreLane's own, or the technology's")
    layer_adjustment: Adjustment | None = Field(default=None, description="else LibreLane's own, or the technology's")


class Variant(_Strict):
    """What differs from the design's own; the second part makes the placement, so a placed DEF cannot take it."""

    name: Name | None = None
    designs: list[str] | None = Field(default=None, description="else all")
    signal_layers: Layers | None = None
    layer_adjustment: Adjustment | None = None
    detailed_iterations: Iterations | None = None
    pin_access: bool | None = None
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    utilization: float | None = Field(default=None, gt=0, le=1)
    aspect: float | None = Field(default=None, gt=0.05, le=20, description="height over width")
    density_lb_addon: float | None = Field(default=None, ge=0, le=1, description="of the placer's density, as in ORFS")
    routability_driven: bool | None = None
    improve_placement: bool | None = None
    power_grid: bool | None = Field(default=None, description="with the platform's taps and power grid")


MAKE_PLACEMENT = {
    "utilization": 0.6, "aspect": 1.0, "density_lb_addon": 0.05, "routability_driven": False, "improve_placement": True,
    "power_grid": False,
}  # fmt: skip


class Sampler(_Strict):
    """Draws variants for every design: each range in even steps in random order, part of them made to be congested."""

    count: int = Field(ge=1, le=10_000, description="variants of each design")
    seed: int = Field(default=0, ge=0)
    congested_frac: Share = Field(default=0.4, description="drawn from the crowded third of every range")
    power_grid_frac: Share = Field(default=0.34, description="with power grid and taps")
    own_adjustment_frac: Share = Field(default=0.25, description="with the adjustments of the technology or design")
    layer_adjustment: Range = (0.1, 0.6)
    signal_layers: list[Layers] = Field(default=[], description="layer stacks, from many layers to few")
    utilization: Range = (0.4, 0.85)
    aspect: Range = (0.6, 1.7)
    density_lb_addon: Range = (0.0, 0.15)


class Limits(_Strict):
    """What one job may take."""

    time_s: float = Field(default=3600, gt=0)
    memory_mb: int = Field(default=8192, ge=64)


class RouterEntry(_Strict):
    """How the labels are routed."""

    runs: int = Field(default=8, ge=1, le=1000, description="of the embedded router, averaged")
    congestion_iterations: int = Field(default=30, ge=1, le=1000, description="of OpenROAD's")


class Batch(_Strict):
    """A batch file."""

    schema_: str = Field(alias="schema")
    schema_version: int
    technology: dict[Name, Technology] = Field(min_length=1)
    design: dict[Name, DesignEntry] = {}
    runs: list[Runs] = []
    variant: list[Variant] = []
    sampler: Sampler | None = None
    limits: Limits = Limits()
    router: RouterEntry = RouterEntry()


def read_batch(path: Path) -> Batch:
    """A checked batch file.

    Raises:
        InputError: no TOML, another schema, an unknown key, a value out of its range, or a design or technology that is
            not there.
    """
    try:
        tables = tomllib.loads(read_bytes(path).decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise InputError(f"is no TOML: {e}", path=path) from e
    if tables.get("schema") != SCHEMA or tables.get("schema_version") != 1:
        found = f"{tables.get('schema')!r} version {tables.get('schema_version')!r}"
        raise InputError(f"is {found}", path=path, mend=f'Expected schema = "{SCHEMA}", schema_version = 1.')
    try:
        batch = Batch.model_validate(tables)
    except ValidationError as e:
        raise _fault(e, path) from e
    if not batch.design and not batch.runs:
        raise InputError("has neither a design nor runs", path=path, mend="docs/labels.md has all keys.")
    users = [(f"design.{name}", one.technology) for name, one in batch.design.items()]
    for where, name in users + [(f"runs.{i}", one.technology) for i, one in enumerate(batch.runs)]:
        if name not in batch.technology:
            what = f'{where}: no technology "{name}"'
            raise InputError(what, path=path, mend=did_you_mean(name, batch.technology))
    for name, design in batch.design.items():
        where = f"design.{name}"
        if design.def_ and design.netlist:
            raise InputError(f"{where} has def and netlist", path=path, mend="Give the one to start from.")
    if "failed" in batch.technology:
        raise InputError('a technology is named "failed"', path=path, mend="Folders of jobs that fail have that name.")
    names = [v.name or f"v{i}" for i, v in enumerate(batch.variant)]
    for name, variant in zip(names, batch.variant, strict=True):
        if names.count(name) > 1:
            raise InputError(f'two variants are named "{name}"', path=path, mend="Names not given are v0, v1, ...")
        for design_name in variant.designs or []:
            if design_name not in batch.design:
                what = f'variant "{name}": no design "{design_name}"'
                raise InputError(what, path=path, mend=did_you_mean(design_name, batch.design))
    for key in ("layer_adjustment", "utilization", "aspect", "density_lb_addon"):
        _check_range(batch, key, path)
    return batch


def _check_range(batch: Batch, key: str, path: Path) -> None:
    """A range of the sampler must lie in what a variant may have."""
    if batch.sampler is None:
        return
    low, high = getattr(batch.sampler, key)
    try:
        for value in (low, high):
            Variant.model_validate({key: value})
    except ValidationError as e:
        raise InputError(f"sampler.{key} = [{low:g}, {high:g}]: {e.errors()[0]['msg']}", path=path) from e
    if low > high:
        raise InputError(f"sampler.{key} = [{low:g}, {high:g}] runs backwards", path=path, mend="Write [low, high].")


def _fault(e: ValidationError, path: Path) -> InputError:
    """The first fault of a file, with the keys known there when one is unknown."""
    first = e.errors()[0]
    at = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        keys = _keys_at(at[0]) if len(at) > 1 else [f.alias or n for n, f in Batch.model_fields.items()]
        return InputError(f'unknown key "{".".join(at)}"', path=path, mend=did_you_mean(at[-1], keys))
    what = f"{'.'.join(at)} is missing" if first["type"] == "missing" else f"{'.'.join(at)} = {first['input']!r}"
    return InputError(f"{what}: {first['msg']}", path=path, mend="docs/labels.md has all keys.")


def _keys_at(table: str) -> list[str]:
    models: dict[str, type[_Strict]] = {
        "technology": Technology, "design": DesignEntry, "runs": Runs, "variant": Variant, "sampler": Sampler,
        "limits": Limits, "router": RouterEntry,
    }  # fmt: skip
    return [f.alias or n for n, f in models[table].model_fields.items()] if table in models else []


def keys_table() -> str:
    """All keys as a Markdown table, for the documentation."""
    rows = ["| key | default | meaning |", "| --- | --- | --- |"]
    tables: dict[str, type[_Strict]] = {
        "[technology.NAME]": Technology, "[design.NAME]": DesignEntry, "[[runs]]": Runs, "[[variant]]": Variant,
        "[sampler]": Sampler, "[limits]": Limits, "[router]": RouterEntry,
    }  # fmt: skip
    for title, model in tables.items():
        rows.append(f"| **`{title}`** | | {(model.__doc__ or '').strip().splitlines()[0]} |")
        for name, field in model.model_fields.items():
            default: Any = "needed" if field.is_required() else field.default
            shown = str(default).lower() if isinstance(default, bool) else str(default).replace("None", "")
            rows.append(f"| `{field.alias or name}` | {shown} | {field.description or ''} |")
    return "\n".join(rows)

"""The jobs of a batch: what each needs, a hash of all that decides its result, and why one cannot be run."""

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from circuit_io.errors import GsrError, InputError
from circuit_io.export_sources import parse_layer_range
from circuit_io.text import sha256_of_file
from flow_hooks.labels.batch import MAKE_PLACEMENT, Batch, DesignEntry, Runs, Technology, Variant
from flow_hooks.labels.finished_runs import ODB, FinishedRun, find_runs
from flow_hooks.labels.sampler import sample_variants
from flow_hooks.openroad.binary import ACCESS_POINTS, DRC_LABELS
from flow_hooks.version import own_version

EMBEDDED, OPENROAD = "embedded", "openroad"
# settings of the router that ask for a part of OpenROAD that a build may lack: their command, and its capability
NEEDS = {"detailed_iterations": ("detailed_route", DRC_LABELS), "pin_access": ("pin_access", ACCESS_POINTS)}


@dataclass(frozen=True)
class Job:
    """One placement to label.

    Attributes:
        name: technology/design/variant, its folder below the output.
        settings: all that a job is told: files, layers, seeds, router.
        inputs: role, path and SHA-256 of every file.
        skip: why it cannot be done; empty for a job that can.
        fault: what is wrong with its input; such a job has failed before it began.
    """

    name: str
    settings: dict[str, Any]
    inputs: list[dict[str, str]] = field(default_factory=list)
    skip: str = ""
    fault: str = ""

    @property
    def sha256(self) -> str:
        """Hash of settings and contents of the files, wherever these lie."""
        files = [[one["role"], one["sha256"]] for one in self.inputs]
        return hashlib.sha256(json.dumps([self.settings, files], sort_keys=True).encode()).hexdigest()

    def paths(self, role: str) -> list[Path]:
        """The files of one role."""
        return [Path(one["path"]) for one in self.inputs if one["role"] == role]


def jobs_of(batch: Batch, home: Path, *, router: str, version: str, lacking: Collection[str] = ()) -> list[Job]:
    """The jobs of a batch in the order of the file; `home` is what relative paths start from.

    Args:
        batch: the batch.
        home: the folder of the batch file.
        router: `EMBEDDED` or `OPENROAD`.
        version: of openroad; the embedded router has that of this package.
        lacking: capabilities that this openroad has not.
    """
    hashes: dict[Path, str] = {}
    own = version if router == OPENROAD else own_version()
    jobs = []
    for design_name, design in batch.design.items():
        technology = batch.technology[design.technology]
        for name, variant in _variants(batch, design_name, design, technology):
            settings = _settings(batch, design_name, design, technology, name, variant, router, own)
            full = f"{design.technology}/{design_name}/{name}"
            skip = _skip(design, variant, router, settings)
            if skip:
                jobs.append(Job(full, settings, skip=skip))
                continue
            try:
                inputs = _inputs(design, technology, settings, home, hashes)
                fault = _fault(design, technology, settings)
                for key, (command, capability) in NEEDS.items():
                    if not fault and settings["router"].get(key) and capability in lacking:
                        mend = f"name one that has (GSR_OPENROAD), or leave {key} out"
                        fault = f"this openroad has no {command}: {mend}"
                jobs.append(Job(full, settings, inputs, fault=fault))
            except OSError as e:
                jobs.append(Job(full, settings, fault=f"{e.filename}: {e.strerror}"))
            except GsrError as e:
                jobs.append(Job(full, settings, fault=str(e)))
    return jobs + run_jobs(batch, home, hashes, taken={job.name for job in jobs}, version=version)


def run_jobs(batch: Batch, home: Path, hashes: dict[Path, str], *, taken: set[str], version: str) -> list[Job]:
    """The jobs of finished runs.

    Args:
        batch: the batch.
        home: the folder of the batch file.
        hashes: of files that are known already.
        taken: names of other jobs.
        version: of openroad, for those that need it.

    Raises:
        InputError: a folder without runs, or two runs of one name.
    """
    jobs = []
    for runs in batch.runs:
        technology = batch.technology[runs.technology]
        for run in find_runs((home / Path(runs.dir).expanduser()).resolve()):
            name = f"{runs.technology}/{run.design}/{run.variant}"
            if name in taken:
                mend = "Give such runs in batches of their own."
                raise InputError(f"another job is named {name} as well", path=run.folder, mend=mend)
            taken.add(name)
            jobs.append(_run_job(runs, technology, run, name, home, hashes, version))
    return jobs


def _run_job(
    runs: Runs,
    technology: Technology,
    run: FinishedRun,
    name: str,
    home: Path,
    hashes: dict[Path, str],
    version: str,
) -> Job:
    own = run.layer_adjustment if run.level_adjustments or run.layer_adjustment is not None else None
    adjustment = next((a for a in (runs.layer_adjustment, own, technology.layer_adjustment) if a is not None), None)
    layers = [runs.signal_layers, "-".join(run.signal_layers) if run.signal_layers else None, technology.signal_layers]
    chosen = next((text for text in layers if text), None)
    is_odb = runs.read == ODB
    settings: dict[str, Any] = {
        "tech": runs.technology,
        "design": run.design,
        "variant": run.variant,
        "family": run.design,
        "stage": "grt" if is_odb or run.flow == "librelane" else "route",
        "signal_layers": list(parse_layer_range(chosen)) if chosen else None,
        "layer_adjustment": adjustment,
        "level_adjustments": list(run.level_adjustments) if runs.layer_adjustment is None else [],
        "router": {
            "kind": runs.read,
            "name": f"OpenROAD global_route of a finished run ({run.flow})"
            + ("" if is_odb else ", by its guides (approximate)"),
            "is_approximate": not is_odb,
            "version": version if is_odb else own_version(),
        },
        "env": technology.env,
    }
    lacking = run.lacking(runs.read)
    if lacking:
        return Job(name, settings, skip=lacking)
    needed = [] if is_odb else ["signal_layers", "layer_adjustment"]
    missing = [key for key in needed if settings[key] is None]
    roles = ("odb", "sdc", "drc") if is_odb else ("def", "guide", "routed_def", "drc")
    named = [("lef", p) for p in technology.lef] + [("lib", p) for p in technology.lib]
    named += [(role, str(run.files[role])) for role in roles if role in run.files]
    try:
        inputs = _hashed(named, home, hashes)
    except OSError as e:
        return Job(name, settings, fault=f"{e.filename}: {e.strerror}")
    except GsrError as e:
        return Job(name, settings, fault=str(e))
    return Job(name, settings, inputs, fault=_lacks(runs.technology, missing))


def _variants(
    batch: Batch, design_name: str, design: DesignEntry, technology: Technology
) -> Iterator[tuple[str, Variant]]:
    for i, variant in enumerate(batch.variant):
        if variant.designs is None or design_name in variant.designs:
            yield variant.name or f"v{i}", variant
    if batch.sampler is not None:
        for variant in sample_variants(batch.sampler, design_name, design, technology):
            yield variant.name or "", variant
    if not batch.variant and batch.sampler is None:
        yield "v0", Variant()


def _settings(
    batch: Batch,
    design_name: str,
    design: DesignEntry,
    technology: Technology,
    name: str,
    variant: Variant,
    router: str,
    version: str,
) -> dict[str, Any]:
    layers = variant.signal_layers or design.signal_layers or technology.signal_layers
    own: dict[str, Any] = {}  # of the variant, else of the design, else of the technology
    for key in ("layer_adjustment", *NEEDS):
        values = (getattr(one, key) for one in (variant, design, technology))
        own[key] = next((value for value in values if value is not None), None)
    embedded = {"name": "embedded router (approximate)", "is_approximate": True, "runs": batch.router.runs}
    real = {
        "name": f"OpenROAD global_route, congestion_iterations {batch.router.congestion_iterations}",
        "is_approximate": False,
        "congestion_iterations": batch.router.congestion_iterations,
    }
    settings: dict[str, Any] = {
        "tech": design.technology,
        "design": design_name,
        "variant": name,
        "family": design.family or design_name,
        "stage": design.stage,
        "signal_layers": list(parse_layer_range(layers)) if layers else None,
        "layer_adjustment": own["layer_adjustment"],
        "seed": variant.seed,
        "router": {"kind": router, "version": version, **(embedded if router == EMBEDDED else real)},
    }
    # else not a word of them: jobs that were labelled without keep their hashes
    settings["router"] |= {key: own[key] for key in NEEDS if own[key]}
    if own["pin_access"]:
        settings["router"]["name"] += ", after pin_access"
    if design.netlist:
        placement = {k: default if getattr(variant, k) is None else getattr(variant, k)
                     for k, default in MAKE_PLACEMENT.items()}  # fmt: skip
        settings |= placement | {
            "top": design.top or design_name,
            "site": technology.site,
            "pin_layers": list(technology.pin_layers or []),
            "core_margin_um": technology.core_margin_um,
        }
    if router == OPENROAD:
        settings |= {"clock_layers": technology.clock_layers, "env": technology.env}
    return settings


def _skip(design: DesignEntry, variant: Variant, router: str, settings: dict[str, Any]) -> str:
    """Why a job makes no sense, though nothing is wrong."""
    if not design.def_ and not design.netlist:
        return "the design has neither def nor netlist"
    if router == EMBEDDED and not design.def_:
        return "no placement: the embedded router needs a placed DEF (def = ...)"
    for key, (command, _) in NEEDS.items():
        if router == EMBEDDED and settings["router"].get(key):
            return f"{key}: the embedded router has no {command}"
    varied = [k for k in MAKE_PLACEMENT if getattr(variant, k) is not None]
    if design.def_ and varied:
        return f"its placement is given, so {', '.join(varied)} cannot vary"
    return ""


def _fault(design: DesignEntry, technology: Technology, settings: dict[str, Any]) -> str:
    """What the batch file lacks for a job."""
    needed = {
        "signal_layers": settings["signal_layers"],
        "layer_adjustment": settings["layer_adjustment"] is not None,
    }
    if design.netlist:
        needed |= {"lib": technology.lib, "site": technology.site, "pin_layers": technology.pin_layers}
        if settings["power_grid"]:
            needed["power_grid"] = technology.power_grid
    return _lacks(design.technology, [key for key, value in needed.items() if not value])


def _lacks(technology: str, lacking: list[str]) -> str:
    return f"technology.{technology} has no {', '.join(lacking)}" if lacking else ""


def _inputs(
    design: DesignEntry, technology: Technology, settings: dict[str, Any], home: Path, hashes: dict[Path, str]
) -> list[dict[str, str]]:
    """Role, path and hash of each file; a file is hashed once for the whole batch."""
    named = [("lef", p) for p in technology.lef] + [("lib", p) for p in technology.lib]
    named += [("def", design.def_)] if design.def_ else [("netlist", design.netlist)]
    if settings["router"]["kind"] == OPENROAD:
        named += [("sdc", design.sdc), ("rc", technology.rc)]
        if design.netlist:
            named += [("macros", design.macros), ("tracks", technology.tracks)]
        if settings.get("power_grid"):
            named += [("taps", technology.taps), ("power_grid", technology.power_grid)]
    return _hashed(named, home, hashes)


def _hashed(named: list[tuple[str, str]], home: Path, hashes: dict[Path, str]) -> list[dict[str, str]]:
    inputs = []
    for role, text in named:
        if not text:
            continue
        path = (home / Path(text).expanduser()).resolve()
        if path not in hashes:
            hashes[path] = sha256_of_file(path)
        inputs.append({"role": role, "path": str(path), "sha256": hashes[path]})
    return inputs

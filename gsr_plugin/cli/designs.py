"""Designs made: from the files of a flow, or from another data set."""

from pathlib import Path
from typing import Any

import click

from gsr_plugin.cli.program import FILE, FOLDER, OUT, ManyValues, Result, common_options, loading, status


def _size(manifest: dict[str, Any]) -> str:
    """A design's name and size, from its manifest."""
    counts, grid = manifest["counts"], manifest["grid"]
    return f"{manifest['design']}, {counts['insts']} insts, {counts['nets']} nets, {grid['nx']} x {grid['ny']} gcells"


@click.command(cls=ManyValues)
@click.option("--lef", type=FILE, multiple=True, metavar="F..", help="LEF files, the technology first.")
@click.option("--def", "def_", type=FILE, help="The placed design.")
@click.option("--lib", type=FILE, multiple=True, metavar="F..", help="Liberty files.")
@click.option("--verilog", type=FILE, help="The netlist, to check the DEF against.")
@click.option("--rtl", type=FILE, multiple=True, metavar="F..", help="RTL, so that hot spots are laid to its modules.")
@click.option("--rtl-include", type=FOLDER, multiple=True, metavar="DIR..", help="Where `include of the RTL looks.")
@click.option("--rtl-define", multiple=True, metavar="NAME[=TEXT]..", help="Macros of the RTL, beside SYNTHESIS.")
@click.option("--spef", type=FILE, help="Parasitics after routing, for the table of nets; the model never sees them.")
@click.option("--sdc", type=FILE, help="Constraints: clocks, their periods and nets.")
@click.option("--sdc-variable", multiple=True, metavar="NAME=VALUE..", help="Tcl variables that the SDC reads.")
@click.option(
    "--endpoint-slack", type=FILE, help="Slacks of endpoints before routing (pin,slack_ns); else those of --labels."
)
@click.option("--access-points", type=FILE, help="Where pin_access puts pins, as gsr_access_points wrote it.")
@click.option("--signal-layers", metavar="LOW-HIGH", help="Layers that the router may use, as in met1-met5.")
@click.option("--layer-adjustment", metavar="A|LAYER=A,..", help="Share of the tracks that the router leaves free.")
@click.option("--gcell-um", type=float, help="Side of a gcell; else what OpenROAD's router takes.")
@click.option("--family", help="Designs that share RTL have the same family; else the design's name.")
@click.option("--technology", help="Name of the technology.")
@click.option("--variant", help="Name of this placement among others of the design.")
@click.option("--stage", help="What has run before: place, cts, ...")
@click.option("--labels", type=FOLDER, help="Router results; with done.json, --def and the settings come from there.")
@click.option("--hook", type=FILE, help="hook.json of gsr_export_design, which names all files and settings.")
@click.option(
    "--router-runs",
    type=click.IntRange(min=0),
    metavar="N",
    help="Runs of the embedded router for its features, 0: none; else 8, 4 with overflow, fewer where each is long.",
)
@click.option("--parquet", is_flag=True, help="Write tables of pins, gcells and masters too, beside insts and nets.")
@click.option("--out", type=OUT, required=True, help="Folder to write.")
@common_options
def export(out: Path, parquet: bool, overwrite: bool, quiet: bool, **options: Any) -> Result:  # noqa: ANN401
    """Read a placed design and write its graph.

    The graph is the input of predict, train and evaluate.

    \b
    gsr export --lef tech.lef cells.lef --def placed.def \\
        --signal-layers met1-met5 --layer-adjustment 0.3 --out design
    gsr export --lef tech.lef cells.lef --lib cells.lib --def placed.def \\
        --signal-layers met1-met5 --layer-adjustment met1=0.8,met2=0.4 --out design
    gsr export --hook gsr/hook.json --out design
    gsr export --lef tech.lef cells.lef --labels labels/aes/v0 --out data/aes_v0
    """
    with status(f"exporting to {out}", quiet=quiet):
        with loading():
            from circuit_io.export import export_design
            from circuit_io.export_sources import sources_of_options

        manifest = export_design(sources_of_options(**options), out, parquet=parquet, overwrite=overwrite)
    return Result(manifest, f"{out}: {_size(manifest)}")


@click.command("import")
@click.argument("format_", metavar="FORMAT", type=click.Choice(["circuitops", "circuitnet"]))
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--name", help="circuitnet: the layout, where DIR holds several.")
@click.option("--gcell-um", type=float, help="Side of a gcell; circuitnet: else 2.25.")
@click.option("--dbu-per-um", type=click.IntRange(min=1), help="circuitops: unit of coordinates, where not to be told.")
@click.option("--family", help="Designs that share RTL have the same family; else as the names say.")
@click.option("--technology", help="Name of the technology.")
@click.option("--variant", help="Name of this placement among others of the design.")
@click.option("--out", type=OUT, required=True, help="Folder to write.")
@common_options
def import_(format_: str, folder: Path, out: Path, overwrite: bool, quiet: bool, **options: Any) -> Result:  # noqa: ANN401
    """Make a design from DIR, a folder of another data set.

    FORMAT is circuitops or circuitnet. What the data set does not tell is masked (docs/interchange.md).

    \b
    gsr import circuitops IRs/nangate45/gcd --gcell-um 2.1 --out design
    gsr import circuitnet build_graph_demo --name 7157-zero-riscy-a-1-c2-u0.8-m1-p1-f0 --out data/7157
    """
    with status(f"importing to {out}", quiet=quiet):
        from circuit_io.importers import import_design

        manifest = import_design(format_, folder, out, overwrite=overwrite, **options)
    return Result(manifest, f"{out}: {_size(manifest)}")

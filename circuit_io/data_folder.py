"""Where things lie in a folder of labelled designs.

`pdk/<tech>/{lef,lib}` and `designs/<tech>/<design>/`, or `tech/` and `rtl/` for a kit of one technology; the labels in
`<set>/<tech>/<design>/<variant>/`.
"""

from pathlib import Path

from circuit_io.errors import InputError


def library_files(data: Path, tech: str) -> tuple[list[Path], list[Path]]:
    """LEF (technology first) and Liberty files of a technology."""
    home = data / "pdk" / tech
    lef_dir, lib_dir = (home / "lef", home / "lib") if home.is_dir() else (data / "tech", data / "tech")
    lef = sorted(
        _files(lef_dir, ".lef", ".tlef"), key=lambda p: ("tech" not in p.name and "tlef" not in p.name, p.name)
    )
    return lef, sorted(_files(lib_dir, ".lib"))


def _files(folder: Path, *kinds: str) -> list[Path]:
    return [p for p in folder.iterdir() if p.name.removesuffix(".gz").endswith(kinds)]


def sdc_file(data: Path, tech: str, design: str) -> Path | None:
    """The constraints of a design, where there are any."""
    places = (data / "designs" / tech / design / "constraints.sdc", data / "rtl" / f"{design}.sdc")
    return next((p for p in places if p.is_file()), None)


def home_of(labels: Path, tech: str) -> Path:
    """The data folder that a label folder lies in.

    Raises:
        InputError: none of the folders above it holds the technology.
    """
    for folder in labels.resolve().parents:
        if (folder / "pdk" / tech).is_dir() or any((folder / "tech").glob("*.lef*")):
            return folder
    raise InputError(
        f"no folder above it holds pdk/{tech} or tech/",
        path=labels,
        mend="Keep labels beside the files of their technology.",
    )


def label_folders(root: Path) -> list[Path]:
    """The folders with labels in a folder, at any depth, in the order of their names."""
    return sorted(p.parent for p in root.rglob("done.json") if any(p.parent.glob("placed.def*")))

"""The folder of a training run: what may be replaced, its settings, and its log of one JSON object a line."""

import json
import shutil
from pathlib import Path
from typing import IO

from circuit_io.atomic import write_whole
from circuit_io.errors import InputError
from gsr_plugin.checkpoint import STATE
from gsr_plugin.config import RunConfig, to_toml
from gsr_plugin.jsonable import to_json_line
from gsr_plugin.shipped import is_shipped
from gsr_plugin.weights import CARD, WEIGHTS

CONFIG, LOG = "config.toml", "log.jsonl"


def check_out(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse an `out` that must not be written, before anything long begins."""
    if is_shipped(out):
        raise InputError("lies among the shipped weights, which nothing replaces", path=out, mend="Choose another.")
    if out.exists() and not out.is_dir():
        raise InputError("exists and is no folder", path=out, mend="Choose another --out.")
    if not resume and out.is_dir() and any(out.iterdir()):
        if not overwrite:
            mend = "Go on with it by --resume, replace it by --overwrite, or choose another --out."
            raise InputError("exists already", path=out, mend=mend)
        if not (out / CONFIG).is_file():
            raise InputError("holds no run, so it is not replaced", path=out, mend="Choose another --out.")


def kept_settings(out: Path) -> Path:
    """The settings of the run in `out`, to go on with.

    Raises:
        InputError: no run has begun there.
    """
    if not (out / CONFIG).is_file():
        raise InputError("holds no state to resume", path=out, mend="Leave --resume out to start a run there.")
    return out / CONFIG


def refuse_base(out: Path, base: Path) -> None:
    """Refuse an `out` that holds the weights to begin with."""
    if out.resolve() == (base if base.is_dir() else base.parent).resolve():
        raise InputError("holds the weights to begin with", path=out, mend="Choose another --out.")


def prepare_out(out: Path, config: RunConfig, *, resume_at: int | None) -> None:
    """An empty run folder, or the resumed one with its log cut at the checkpoint; the settings are written."""
    out.mkdir(parents=True, exist_ok=True)
    if resume_at is None:
        for name in (WEIGHTS, CARD, LOG, CONFIG):
            (out / name).unlink(missing_ok=True)
        shutil.rmtree(out / STATE.parent, ignore_errors=True)
    elif (out / LOG).is_file():
        lines = (out / LOG).read_text("utf-8").splitlines(keepends=True)
        write_whole(out / LOG, "".join(line for line in lines if _is_before(line, resume_at)).encode())
    write_whole(out / CONFIG, to_toml(config).encode())


def _is_before(line: str, step: int) -> bool:
    """Whether a line of the log tells of the run up to `step`; a line that was cut does not count."""
    try:
        return bool(json.loads(line)["step"] <= step)
    except (ValueError, KeyError, TypeError):
        return False


def write_line(log: IO[str], event: str, **values: object) -> None:
    """Add one line to the log, at once."""
    log.write(to_json_line({"event": event} | values) + "\n")
    log.flush()

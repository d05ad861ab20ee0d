"""A closed loop's figures with the machine they were measured on, as JSON, and its table as Markdown.

    gsr bench loop LOOP --out bench/results/loop.json

LOOP is the folder that `gsr loop` wrote. A loop of which arms are still missing is taken as it is, and says so.
"""

import argparse
from pathlib import Path

from bench.machine import machine
from circuit_io.atomic import write_whole
from circuit_io.errors import InputError
from circuit_io.manifest import read_json_object, to_json
from flow_hooks.loop.results import table_of
from flow_hooks.loop.runner import RESULTS, SCHEMA


def main(arguments: list[str] | None = None) -> int:
    """Write the JSON, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("loop", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(arguments)
    path = args.loop / RESULTS
    results = read_json_object(path)
    if results.get("schema") != SCHEMA:
        raise InputError("is no result of gsr loop", path=path, mend="Give the folder that gsr loop wrote.")
    missing = sum(arm not in row["overflow"] for row in results["cases"] if row["is_case"] for arm in results["arms"])
    if args.out is not None:
        content = {"bench": "loop", "machine": machine(), "arms_missing": missing} | results
        write_whole(args.out, to_json(content))
    print(table_of(results))
    if missing:
        print(f"{missing} arms are missing: not yet run, failed or skipped")
    return 0

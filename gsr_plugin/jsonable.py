"""Results as JSON values: dataclasses as objects, paths as strings, numbers that are not finite as null."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any


def jsonable(value: Any) -> Any:  # noqa: ANN401
    """`value` in the types that JSON has."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: jsonable(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy
        return jsonable(value.tolist())
    raise TypeError(f"no JSON form of {type(value).__name__}")


def to_json_line(value: Any) -> str:  # noqa: ANN401
    """`value` as one line of JSON."""
    return json.dumps(jsonable(value), ensure_ascii=False, allow_nan=False)

"""A report's content once, as blocks, and its form as Markdown with figures beside it; the page: document_html.py.

Everything that comes from a design (names above all) is escaped in both.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Tone = Literal["good", "warn", "bad", "plain"]


@dataclass(frozen=True)
class Code:
    """A name or hash, shown in a fixed-width face."""

    text: str


@dataclass(frozen=True)
class Link:
    """Text that leads to an anchor of the same page."""

    text: str
    anchor: str


Cell = str | Code | Link | tuple["str | Code | Link", ...]


@dataclass(frozen=True)
class Heading:
    """A section's title."""

    text: str
    anchor: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Running text; `tone` other than "plain" makes it a banner."""

    content: Cell
    tone: Tone = "plain"


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: Sequence[Cell]


@dataclass(frozen=True)
class Card:
    """A key figure: what it is, its value, and a line below."""

    label: str
    value: str
    note: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True)
class Cards:
    """Key figures in a row."""

    cards: Sequence[Card]


@dataclass(frozen=True)
class Figure:
    """A picture, `name`.png beside the Markdown; the page draws its own maps."""

    name: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Workbench:
    """The maps to work with, in the page alone; `data` is what its script reads."""

    data: str


@dataclass(frozen=True)
class Plot:
    """A place in the page alone where its script draws the plot `name`."""

    name: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Table:
    """Rows under headings; `numeric` columns are set to the right. `anchors` name the rows."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: frozenset[int] = frozenset()
    anchors: Sequence[str] = ()


@dataclass(frozen=True)
class Details:
    """Content that is folded away in the page."""

    summary: str
    blocks: Sequence["Block"]
    anchor: str = ""
    is_open: bool = False


@dataclass(frozen=True)
class InMarkdown:
    """Blocks of the Markdown alone: the page shows the same in its workbench."""

    blocks: Sequence["Block"]


Block = Heading | Paragraph | Bullets | Cards | Figure | Workbench | Plot | Table | Details | InMarkdown


@dataclass(frozen=True)
class Document:
    """Title, a line below it, and blocks."""

    title: str
    subtitle: str
    blocks: Sequence[Block] = field(default_factory=tuple)
    footer: str = ""


# ---- Markdown


def to_markdown(document: Document, *, figures: str) -> str:
    """The same as Markdown; `figures` is the folder of the pictures, relative to the text."""
    parts = [f"# {_md(document.title)}", _md(document.subtitle)]
    parts += filter(None, (_markdown(b, figures) for b in document.blocks))
    if document.footer:
        parts += ["---", _md(document.footer)]
    return "\n\n".join(parts) + "\n"


def _markdown(block: Block, figures: str) -> str:
    match block:
        case Heading():
            return f"{'#' * block.level} {_md(block.text)}"
        case Paragraph():
            text = _md_cell(block.content)
            return text if block.tone == "plain" else f"> **{text}**"
        case Bullets():
            return "\n".join(f"- {_md_cell(item)}" for item in block.items)
        case Cards():
            rows = [[c.label, c.value, c.note] for c in block.cards]
            return _md_table(Table(["figure", "value", "note"], rows))
        case Figure():
            return f"![{_md(block.alt)}]({figures}/{block.name}.png)\n\n*{_md(block.caption)}*"
        case Table():
            return _md_table(block)
        case Details():
            return "\n\n".join([f"**{_md(block.summary)}**", *(_markdown(b, figures) for b in block.blocks)])
        case InMarkdown():
            return "\n\n".join(_markdown(b, figures) for b in block.blocks)
        case Workbench() | Plot():
            return ""


def _md_table(table: Table) -> str:
    rule = ["---:" if i in table.numeric else "---" for i in range(len(table.columns))]
    rows = [[_md_cell(c) for c in row] for row in table.rows]
    lines = [[_md(c) for c in table.columns], rule, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _md_cell(cell: Cell) -> str:
    match cell:
        case Code():
            text = visible(cell.text).replace("|", "\\|")
            ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
            pad = " " if text.startswith("`") or text.endswith("`") else ""
            return f"{ticks}{pad}{text}{pad}{ticks}" if text else ""
        case Link():
            return _md(cell.text)
        case tuple():
            return "".join(map(_md_cell, cell))
        case str():
            return _md(cell)


def _md(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", visible(text))


def visible(text: str) -> str:
    """`text` with line ends, control and format signs (those that turn the direction of reading among them) and bytes
    that are not UTF-8 spelt out, as \\x0a or \\u202e."""
    return text if text.isascii() and text.isprintable() else "".join(map(_visible_sign, text))


def _visible_sign(sign: str) -> str:
    code = ord(sign)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code & 0xFF:02x}"
    if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return sign

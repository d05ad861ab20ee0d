"""A report's content once, and its two forms: one self-contained HTML page, and Markdown with figures beside it.

Everything that comes from a design (names above all) is escaped in both; nothing in the page runs or loads anything.
"""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from string import Template
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
    """A picture: its SVG in the page, `name`.png beside the Markdown."""

    name: str
    svg: str
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


Block = Heading | Paragraph | Bullets | Cards | Figure | Table | Details


@dataclass(frozen=True)
class Document:
    """Title, a line below it, and blocks."""

    title: str
    subtitle: str
    blocks: Sequence[Block] = field(default_factory=tuple)
    footer: str = ""


# ---- HTML


def to_html(document: Document) -> str:
    """The whole page: styles and pictures inside, a policy that forbids any request."""
    templates = files("gsr_plugin") / "templates"
    sections = [b for b in document.blocks if isinstance(b, Heading) and b.level == 2]
    return Template((templates / "report.html").read_text("utf-8")).substitute(
        title=html.escape(document.title),
        subtitle=html.escape(document.subtitle),
        style=(templates / "report.css").read_text("utf-8"),
        navigation="".join(f'<a href="#{b.anchor}">{html.escape(b.text)}</a>' for b in sections),
        body="\n".join(_html(b) for b in document.blocks),
        footer=html.escape(document.footer),
    )


def _html(block: Block) -> str:
    match block:
        case Heading():
            return f'<h{block.level} id="{block.anchor}">{html.escape(block.text)}</h{block.level}>'
        case Paragraph():
            kind = "" if block.tone == "plain" else f' class="banner {block.tone}"'
            return f"<p{kind}>{_html_cell(block.content)}</p>"
        case Bullets():
            return "<ul>" + "".join(f"<li>{_html_cell(item)}</li>" for item in block.items) + "</ul>"
        case Cards():
            return '<div class="cards">' + "".join(map(_html_card, block.cards)) + "</div>"
        case Figure():
            label = html.escape(block.alt, quote=True)
            svg = block.svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
            return f"<figure>{svg}<figcaption>{html.escape(block.caption)}</figcaption></figure>"
        case Table():
            return _html_table(block)
        case Details():
            inner = "\n".join(_html(b) for b in block.blocks)
            anchor = f' id="{block.anchor}"' if block.anchor else ""
            is_open = " open" if block.is_open else ""
            return f"<details{anchor}{is_open}><summary>{html.escape(block.summary)}</summary>{inner}</details>"


def _html_card(card: Card) -> str:
    return (
        f'<div class="card {card.tone}"><span class="label">{html.escape(card.label)}</span>'
        f'<span class="value">{html.escape(card.value)}</span><span class="note">{html.escape(card.note)}</span></div>'
    )


def _html_table(table: Table) -> str:
    kinds = [' class="number"' if i in table.numeric else "" for i in range(len(table.columns))]
    head = "".join(f"<th{k}>{html.escape(c)}</th>" for k, c in zip(kinds, table.columns, strict=True))
    rows = []
    for i, row in enumerate(table.rows):
        anchor = f' id="{table.anchors[i]}"' if table.anchors else ""
        cells = "".join(f"<td{k}>{_html_cell(c)}</td>" for k, c in zip(kinds, row, strict=True))
        rows.append(f"<tr{anchor}>{cells}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _html_cell(cell: Cell) -> str:
    match cell:
        case Code():
            return f"<code>{html.escape(visible(cell.text))}</code>"
        case Link():
            return f'<a href="#{cell.anchor}">{html.escape(cell.text)}</a>'
        case tuple():
            return "".join(map(_html_cell, cell))
        case str():
            return html.escape(cell)


# ---- Markdown


def to_markdown(document: Document, *, figures: str) -> str:
    """The same as Markdown; `figures` is the folder of the pictures, relative to the text."""
    parts = [f"# {_md(document.title)}", _md(document.subtitle)]
    parts += [_markdown(b, figures) for b in document.blocks]
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
    """`text` with control signs, line ends and bytes that are not UTF-8 shown as \\xNN."""
    return "".join(
        f"\\x{ord(sign) & 0xFF:02x}" if ord(sign) < 0x20 or ord(sign) == 0x7F or 0xD800 <= ord(sign) <= 0xDFFF else sign
        for sign in text
    )

"""A document as one HTML page, which runs the script that its policy names by hash, and loads nothing."""

import base64
import hashlib
import html
from importlib.resources import files
from string import Template

from gsr_plugin.document import (
    Block,
    Bullets,
    Card,
    Cards,
    Cell,
    Code,
    Details,
    Document,
    Figure,
    Heading,
    InMarkdown,
    Link,
    Paragraph,
    Plot,
    Table,
    Workbench,
    visible,
)

SCRIPTS = ("map.js", "draw.js", "panel.js", "plot.js", "page.js")


def to_html(document: Document) -> str:
    """The whole page: styles, script and data inside, a policy that forbids every request and any other script."""
    sections = [b for b in document.blocks if isinstance(b, Heading) and b.level == 2]
    style = f"\n{_template('report.css')}"
    script = "\n" + "\n".join(map(_template, SCRIPTS))
    return Template(_template("report.html")).substitute(
        title=_text(document.title),
        subtitle=_text(document.subtitle),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        navigation="".join(f'<a href="#{b.anchor}">{_text(b.text)}</a>' for b in sections),
        body="\n".join(filter(None, map(_html, document.blocks))),
        footer=_text(document.footer),
    )


def _template(name: str) -> str:
    return (files("gsr_plugin") / "templates" / name).read_text("utf-8")


def _hash(text: str) -> str:
    """What a content security policy calls an inline style or script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _text(text: str) -> str:
    return html.escape(visible(text))


def _html(block: Block) -> str:
    match block:
        case Heading():
            return f'<h{block.level} id="{block.anchor}">{_text(block.text)}</h{block.level}>'
        case Paragraph():
            kind = "" if block.tone == "plain" else f' class="banner {block.tone}"'
            return f"<p{kind}>{_html_cell(block.content)}</p>"
        case Bullets():
            return "<ul>" + "".join(f"<li>{_html_cell(item)}</li>" for item in block.items) + "</ul>"
        case Cards():
            return '<div class="cards">' + "".join(map(_html_card, block.cards)) + "</div>"
        case Workbench():
            return Template(_template("workbench.html")).substitute(data=block.data).strip()
        case Plot():
            canvas = f'<canvas id="plot-{block.name}" role="img" aria-label="{_text(block.alt)}"></canvas>'
            return f"<figure>{canvas}<figcaption>{_text(block.caption)}</figcaption></figure>"
        case Table():
            return _html_table(block)
        case Details():
            inner = "\n".join(filter(None, map(_html, block.blocks)))
            anchor = f' id="{block.anchor}"' if block.anchor else ""
            is_open = " open" if block.is_open else ""
            return f"<details{anchor}{is_open}><summary>{_text(block.summary)}</summary>{inner}</details>"
        case Figure() | InMarkdown():
            return ""


def _html_card(card: Card) -> str:
    return (
        f'<div class="card {card.tone}"><span class="label">{_text(card.label)}</span>'
        f'<span class="value">{_text(card.value)}</span><span class="note">{_text(card.note)}</span></div>'
    )


def _html_table(table: Table) -> str:
    kinds = [' class="number"' if i in table.numeric else "" for i in range(len(table.columns))]
    head = "".join(f"<th{k}>{_text(c)}</th>" for k, c in zip(kinds, table.columns, strict=True))
    rows = []
    for i, row in enumerate(table.rows):
        anchor = f' id="{table.anchors[i]}"' if table.anchors else ""
        cells = "".join(f"<td{k}>{_html_cell(c)}</td>" for k, c in zip(kinds, row, strict=True))
        rows.append(f"<tr{anchor}>{cells}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _html_cell(cell: Cell) -> str:
    match cell:
        case Code():
            return f"<code>{_text(cell.text)}</code>"
        case Link():
            return f'<a href="#{cell.anchor}">{_text(cell.text)}</a>'
        case tuple():
            return "".join(map(_html_cell, cell))
        case str():
            return _text(cell)

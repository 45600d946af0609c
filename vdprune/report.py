"""One page about a network: self-contained HTML."""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from vdprune.sparsity import COUNTING_RULE
from vdprune.storage import MARK
from vdprune.version import __version__

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #202124; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 0.5rem; }
.what { color: #5f6368; margin-top: 0; }
.facts { display: flex; flex-wrap: wrap; gap: 1rem; padding: 0; margin: 1.5rem 0; }
.facts div { border: 1px solid #dadce0; border-radius: 6px; padding: 0.6rem 1rem; }
.facts dt { color: #5f6368; font-size: 0.85rem; }
.facts dd { margin: 0; font-size: 1.3rem; }
table { border-collapse: collapse; }
th, td { padding: 0.25rem 0.9rem 0.25rem 0; text-align: right; border-bottom: 1px solid #e8eaed; }
th:first-child, td:first-child { text-align: left; }
.wide, pre { overflow-x: auto; }
pre { font-size: 0.85rem; line-height: 1.35; background: #f8f9fa; border-radius: 6px;
      padding: 0.8rem 1rem; }
table.words td { text-align: left; }
tr.all td { font-weight: 600; }
figure { margin: 0 0 1rem; }
figcaption { color: #5f6368; }
img { max-width: 100%; height: auto; }
footer { color: #5f6368; font-size: 0.85rem; margin: 3rem 0 1rem; }
"""


@dataclass(frozen=True)
class Picture:
    """A picture for a report.

    Args:
        title: Its heading.
        caption: What it shows, in a sentence.
        figure: matplotlib's figure.
    """

    title: str
    caption: str
    figure: Any


def make_report(
    facts: dict[str, Any],
    images: str,
    training: dict[str, str],
    recipe: str,
    pictures: Iterable[Picture],
) -> str:
    """Write a page about a network.

    Args:
        facts: What describes its file, as ``vdprune eval --json`` prints it.
        images: The examples that it was measured on, in words.
        training: What there is to say of its training, each by what it is; empty if unknown.
        recipe: How it was trained, as TOML; empty if unknown.
        pictures: What is shown below the tables.

    Returns:
        The page as HTML; it refers to nothing outside itself.
    """
    name = f"{facts['arch']} on {facts['dataset']}"
    compression = facts["compression"]
    loss = "not finite" if facts["loss"] is None else f"{facts['loss']:.4f}"
    tiles = {
        f"error on {images}": f"{facts['error']:.2f} %",
        "cross entropy there": loss,
        "compression": "infinite" if compression is None else f"{compression:.1f}x",
        "weights left": f"{facts['nonzero']:,} of {facts['weights']:,}",
    }
    if facts["threshold"] is not None:
        tiles["cut above log alpha"] = f"{facts['threshold']:.4g}"
    parts = [
        f"<h1>{escape(name)}</h1>",
        f'<p class="what">{escape(facts["file"])}, {escape(facts["kind"])}</p>',
        '<dl class="facts">',
        *(
            f"<div><dt>{escape(what)}</dt><dd>{escape(value)}</dd></div>"
            for what, value in tiles.items()
        ),
        "</dl>",
        "<h2>Layers</h2>",
        _layer_table(facts),
        f"<p>Counted are {escape(COUNTING_RULE)}.</p>",
    ]
    if training:
        parts += ["<h2>Training</h2>", _word_table(training)]
    for picture in pictures:
        parts += [f"<h2>{escape(picture.title)}</h2>", _embed(picture)]
    if recipe:
        parts += ["<h2>Recipe</h2>", f"<pre>{escape(recipe)}</pre>"]
    parts.append(f"<footer>vdprune {escape(__version__)}</footer>")
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="generator" content="{MARK} {escape(__version__)}">\n'
        f"<title>{escape(name)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n"
        f"</html>\n"
    )


def _layer_table(facts: dict[str, Any]) -> str:
    rows = [
        (
            layer["name"],
            " x ".join(map(str, layer["shape"])),
            f"{layer['weights']:,}",
            f"{layer['nonzero']:,}",
            f"{100 * layer['sparsity']:.2f} %",
        )
        for layer in facts["layers"]
    ]
    total = (
        "all",
        "",
        f"{facts['weights']:,}",
        f"{facts['nonzero']:,}",
        f"{100 * facts['sparsity']:.2f} %",
    )
    return _table(("layer", "shape", "weights", "left", "sparsity"), rows, total)


def _word_table(words: dict[str, str]) -> str:
    rows = (_row(row, "td") for row in words.items())
    return '<div class="wide"><table class="words">\n' + "\n".join(rows) + "\n</table></div>"


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], total: Sequence[str] | None = None
) -> str:
    lines = [_row(head, "th"), *(_row(row, "td") for row in rows)]
    if total is not None:
        lines.append(_row(total, "td", ' class="all"'))
    return '<div class="wide"><table>\n' + "\n".join(lines) + "\n</table></div>"


def _row(cells: Sequence[str], kind: str, attributes: str = "") -> str:
    inside = "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in cells)
    return f"<tr{attributes}>{inside}</tr>"


def _embed(picture: Picture) -> str:
    file = io.BytesIO()
    picture.figure.savefig(file, format="png", dpi=110)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    caption = escape(picture.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )

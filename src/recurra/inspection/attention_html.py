"""Attention as one self-contained page: a table whose labels are text, in the browser's fonts."""

from __future__ import annotations

import html

from recurra.inspection.alignment import Alignment
from recurra.inspection.figures import GREY, PALETTE, sequential
from recurra.inspection.label_fonts import right_to_left

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font-family: system-ui, sans-serif; margin: 2rem; color: #202124; }}
h1 {{ font-size: 1.2rem; }}
table {{ border-collapse: collapse; }}
td {{ width: 1.5rem; height: 1.5rem; min-width: 1.5rem; border: 1px solid #e3e5e8; padding: 0; }}
td:hover {{ outline: 2px solid {accent}; }}
th {{ font-weight: normal; white-space: pre; padding: .2rem .4rem; }}
thead th {{ vertical-align: bottom; writing-mode: vertical-rl; }}
tbody th {{ text-align: end; }}
tr:hover th {{ font-weight: bold; }}
.unknown {{ color: {accent}; }}
.note {{ color: {grey}; font-size: .85rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="note">{model}A row per target symbol, a column per source symbol: the darker a cell, the more of the
source symbol went into the prediction of the target symbol. Pointing at a cell shows its weight.{unknown}</p>
<table dir="{direction}">
<thead><tr><td></td>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""


def attention_page(alignment: Alignment) -> str:
    """The page, as HTML without scripts which loads nothing from elsewhere.

    Args:
        alignment: sentences and weights. Labels are text, never markup.
    """
    from matplotlib.colors import to_hex

    source, target = alignment.labels
    colours = [to_hex(colour) for colour in sequential()(range(256))]
    shades = (alignment.weights.clip(0, 1) * 255).round().astype(int).tolist()
    head = "".join(
        _label(label, number, "col", number - 1 in alignment.unknown)
        for number, label in enumerate(source, start=1)
    )
    rows = [
        "<tr>"
        + _label(label, number, "row")
        + "".join(_cell(colours[shade], weight) for shade, weight in zip(shades_of, weights, strict=True))
        + "</tr>"
        for number, (label, shades_of, weights) in enumerate(
            zip(target, shades, alignment.weights.tolist(), strict=True), start=1
        )
    ]
    return _PAGE.format(
        title=html.escape(alignment.title or "Attention"),
        model=html.escape(f"{alignment.model}. ") if alignment.model else "",
        accent=PALETTE[1],
        grey=GREY,
        unknown=" The model does not know the source symbols in orange." if alignment.unknown else "",
        direction="rtl" if right_to_left(alignment.source) else "ltr",
        head=head,
        rows="\n".join(rows),
    )


def _label(label: str, number: int, scope: str, unknown: bool = False) -> str:
    mark = ' class="unknown"' if unknown else ""
    return f'<th scope="{scope}" dir="auto" title="{number}"{mark}>{html.escape(label)}</th>'


def _cell(colour: str, weight: float) -> str:
    return f'<td style="background:{colour}" title="{weight:.3f}"></td>'

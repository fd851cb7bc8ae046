"""Coloured text as one self-contained page, with every unit to choose from."""

from __future__ import annotations

import base64
import html
import json

import numpy as np

from recurra.inspection.activations import Activations
from recurra.inspection.figures import GREY
from recurra.inspection.gate_colours import colours, dark
from recurra.inspection.label_fonts import printable
from recurra.inspection.symbols_in_lines import apart

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font-family: system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #202124; }}
h1 {{ font-size: 1.2rem; }}
#text {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; line-height: 1.7; white-space: pre-wrap;
  overflow-wrap: anywhere; border-top: 1px solid #dadce0; padding-top: 1rem; }}
#text i {{ font-style: normal; }}
.bar {{ display: flex; gap: 1rem; align-items: center; flex-wrap: wrap; margin: 1rem 0; }}
.scale {{ display: inline-block; width: 10rem; height: .8rem; vertical-align: middle; border: 1px solid #dadce0;
  background: linear-gradient(to right, {gradient}); }}
.note {{ color: {grey}; font-size: .85rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
<div class="bar">
<label>Unit <select id="unit">{options}</select></label>
<span>{low:g} <span class="scale"></span> {high:g}</span>
<span id="value" class="note" aria-live="polite"></span>
</div>
<p class="note">Each symbol has the colour of the unit's value after the model has read it. Units are listed with
those that vary most first; the arrow keys go through the list. Pointing at a symbol shows its value.</p>
<div id="text">{text}</div>
<script>
"use strict";
const units = {units}, low = {low!r}, high = {high!r};
const colours = {colours};
const inks = "{inks}";
const shades = Uint8Array.from(atob("{data}"), c => c.charCodeAt(0));
const marks = document.getElementById("text").getElementsByTagName("i");
const choice = document.getElementById("unit"), value = document.getElementById("value");
const shade = t => shades[t * units + Number(choice.value)];
function paint() {{
  for (let t = 0; t < marks.length; t++) {{
    const s = shade(t);
    marks[t].style.background = colours[s];
    marks[t].style.color = inks[s] === "1" ? "white" : "black";
  }}
}}
choice.addEventListener("change", paint);
document.getElementById("text").addEventListener("mouseover", event => {{
  const t = Array.prototype.indexOf.call(marks, event.target);
  value.textContent = t < 0 ? "" : "step " + t + ": " + (low + (high - low) * shade(t) / 255).toFixed(2);
}});
choice.focus();
paint();
</script>
</body>
</html>
"""


def gates_page(activations: Activations) -> str:
    """The page, as HTML which loads nothing from elsewhere.

    Without scripting it shows the unit that varies most.

    Args:
        activations: symbols, values and their scale. Symbols are text, never markup.
    """
    from matplotlib.colors import to_hex

    palette = colours(activations.signed)
    hexadecimal = [to_hex(colour) for colour in palette]
    inks = ["white" if is_dark else "black" for is_dark in dark(palette)]
    order, shades = activations.by_interest(), activations.shades()
    first = shades[:, order[0]]
    gap = " " if apart(activations.symbols) else ""
    text = "".join(
        f'<i style="background:{hexadecimal[shade]};color:{inks[shade]}">{html.escape(printable(symbol))}</i>'
        + ("\n" if symbol.endswith("\n") else gap)
        for symbol, shade in zip(activations.symbols, first, strict=True)
    )
    return _PAGE.format(
        title=html.escape(
            ", ".join(part for part in (activations.title or "Units", activations.cell) if part)
        ),
        gradient=", ".join(hexadecimal[::51]),
        grey=GREY,
        options="".join(f'<option value="{unit}">{unit}</option>' for unit in order),
        low=float(activations.low),
        high=float(activations.high),
        text=text,
        units=shades.shape[1],
        colours=json.dumps(hexadecimal, separators=(",", ":")),
        inks="".join("1" if ink == "white" else "0" for ink in inks),
        data=base64.b64encode(np.ascontiguousarray(shades).tobytes()).decode("ascii"),
    )

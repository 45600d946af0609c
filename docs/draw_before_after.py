"""Draws docs/before-after.svg from docs/results: python docs/draw_before_after.py.

The results were written by

    python examples/train_mnist.py --dense --epoch 200 --out dense
        (its log is lenet300-dense-log.json)
    python -m experiments.results lenet300 paper
        (lenet300-paper.json; drawn is seed 0)
    vdprune prune lenet300-paper-0.h5 && vdprune export --json > lenet300-paper-export.json
"""

import json
from pathlib import Path

RESULTS = Path(__file__).with_name("results")
PICTURE = Path(__file__).with_name("before-after.svg")
GREY, BLUE = "#9aa0a6", "#1a6fb0"
WIDTH, BAR = 760, 300


def draw() -> str:
    """Return the picture as SVG."""
    dense = json.loads((RESULTS / "lenet300-dense-log.json").read_text())[-1]
    trained = json.loads((RESULTS / "lenet300-paper.json").read_text())["runs"][0]
    exported = json.loads((RESULTS / "lenet300-paper-export.json").read_text())
    dense_error = 100 * (1 - dense["validation/main/accuracy"])
    panels = [
        ("test error, %", dense_error, trained["error"], "{:.2f}"),
        ("weights", trained["weights"], trained["nonzero"], "{:,.0f}"),
        ("file, kB", exported["dense_bytes"] / 1000, exported["bytes"] / 1000, "{:,.0f}"),
    ]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="246" '
        f'viewBox="0 0 {WIDTH} 246" font-family="sans-serif" font-size="15">',
        f'<rect width="{WIDTH}" height="246" fill="#ffffff"/>',
        _text(20, 30, "LeNet-300-100 on MNIST", size=18, weight="bold"),
        _legend(330, "dense", GREY),
        _legend(420, "sparse variational dropout", BLUE),
    ]
    for i, (name, before, after, form) in enumerate(panels):
        top = 52 + 64 * i
        parts.append(_text(20, top + 31, name))
        scale = BAR / max(before, after)
        for j, (value, colour) in enumerate(((before, GREY), (after, BLUE))):
            y = top + 26 * j
            width = max(1.5, value * scale)
            parts.append(f'<rect x="150" y="{y}" width="{width:.1f}" height="22" fill="{colour}"/>')
            label = form.format(value)
            if j and before / after > 2:
                label += f"   ({before / after:.0f} times less)"
            parts.append(_text(158 + width, y + 17, label))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, size: int = 15, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" font-size="{size}" font-weight="{weight}" fill="#202124" '
        f'xml:space="preserve">{text}</text>'
    )


def _legend(x: int, text: str, colour: str) -> str:
    return f'<rect x="{x}" y="17" width="14" height="14" fill="{colour}"/>' + _text(
        x + 20, 30, text
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")

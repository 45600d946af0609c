"""Writes RESULTS.md from docs/results, and its first table into README.md: python docs/make_results.py.

The files of results are written by `python -m experiments.results ARCH RECIPE`, that of the packed
files by `python -m experiments.packed CHECKPOINT...`, that of trials with images held out by
`python -m experiments.held_out CHECKPOINT...`. The words between the tables are the .md files there.
"""

import json
from pathlib import Path
from statistics import mean
from typing import Any

RESULTS = Path(__file__).with_name("results")
PAGE = Path(__file__).parent.parent / "RESULTS.md"
README = PAGE.with_name("README.md")
BEGIN, END = "<!-- results: begin -->\n", "<!-- results: end -->"

# name, error in percent, compression, source
KNOWN = {
    "lenet300": [
        ("Sparse VD", 1.92, 68, "Molchanov, Ashukha and Vetrov, ICML 2017, table 1"),
        ("GSM", 1.82, 60, "Ding et al., Global Sparse Momentum SGD, NeurIPS 2019"),
        ("DNS", 1.99, 56, "Guo, Yao and Chen, Dynamic Network Surgery, NIPS 2016"),
        ("L-OBS", 2.0, 67, "Dong, Chen and Pan, Layer-wise Optimal Brain Surgeon, NIPS 2017"),
    ],
    "lenet5": [
        ("Sparse VD", 0.75, 280, "Molchanov, Ashukha and Vetrov, ICML 2017, table 1"),
        ("GSM", 0.94, 300, "Ding et al., Global Sparse Momentum SGD, NeurIPS 2019"),
        ("SWS", 0.97, 200, "Ullrich, Meeds and Welling, Soft Weight-Sharing, ICLR 2017"),
    ],
}
TITLES = {"lenet300": "LeNet-300-100", "lenet5": "LeNet-5-Caffe"}
RECIPES = ("dense", "paper", "strong", "magnitude")


def make_page() -> str:
    """Return the page."""
    parts = [_words("introduction"), summarise()]
    for arch, title in TITLES.items():
        parts.append(f"## {title}\n")
        found = {recipe: load_runs(arch, recipe) for recipe in RECIPES}
        found = {recipe: runs for recipe, runs in found.items() if runs}
        pruned = {recipe: load_runs(arch, f"{recipe}-pruned") for recipe in found}
        parts.append(_table(arch, found, pruned))
        for recipe, runs in found.items():
            parts.append(_seeds(runs))
            if pruned[recipe]:
                parts.append(_pruned(pruned[recipe]))
    parts += [_words("packed"), _packed(), _words("choices")]
    parts += [_trials(), _words("held-out"), _held_out(), _words("files")]
    return "\n".join(parts)


def summarise() -> str:
    """Return the rows that the README has, too: each recipe's mean beside the paper's."""
    rows = []
    for arch, title in TITLES.items():
        _, error, compression, _ = KNOWN[arch][0]
        rows.append([title, "as in the paper's table", f"{error:.2f}", f"{compression}x", ""])
        for recipe in RECIPES:
            if runs := load_runs(arch, recipe):
                seeds = _spread([run["error"] for run in runs], "{:.2f}")
                size = f"{mean(run['compression'] for run in runs):.1f}x"
                rows.append([title, f"`--recipe {recipe}`", seeds, size, f"{len(runs)}"])
    return _markdown(["network", "", "error, %", "compression", "seeds"], rows)


def load_runs(arch: str, recipe: str) -> list[dict[str, Any]]:
    """Read the runs of a network by a recipe, as `arch-recipe.json` has them; none without that file."""
    path = RESULTS / f"{arch}-{recipe}.json"
    return json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []


def _words(name: str) -> str:
    return (RESULTS / f"{name}.md").read_text(encoding="utf-8")


def _table(
    arch: str, found: dict[str, list[dict[str, Any]]], pruned: dict[str, list[dict[str, Any]]]
) -> str:
    layers = [layer["name"] for runs in found.values() for layer in runs[0]["layers"]]
    layers = list(dict.fromkeys(layers))
    header = ["", "error, %", "compression", "nonzero", *(f"{n}, % cut" for n in layers)]
    rows = [
        [f"{name} ({source})", f"{error:g}", f"{compression:g}x", *[""] * (len(layers) + 3)]
        for name, error, compression, source in KNOWN[arch]
    ]
    for recipe, runs in found.items():
        rows.append(_row(f"**vdprune, recipe {recipe}**", runs))
        if pruned[recipe]:
            rows.append(_row(f"**recipe {recipe}, then `vdprune prune`**", pruned[recipe]))
    return _markdown([*header, "minutes", "seeds"], rows)


def _row(name: str, runs: list[dict[str, Any]]) -> list[str]:
    by_layer = zip(*(run["layers"] for run in runs), strict=True)
    return [
        name,
        _spread([run["error"] for run in runs], "{:.2f}"),
        _spread([run["compression"] for run in runs], "{:.1f}") + "x",
        _spread([run["nonzero"] for run in runs], "{:,.0f}"),
        *(f"{100 * mean(layer['sparsity'] for layer in same):.2f}" for same in by_layer),
        f"{mean(run['seconds'] for run in runs) / 60:.1f}" if "seconds" in runs[0] else "",
        f"{len(runs)}",
    ]


def _spread(values: list[float], form: str) -> str:
    middle, least, most = (form.format(value) for value in (mean(values), min(values), max(values)))
    return f"{middle} ({least} to {most})" if least != most else middle


def _seeds(runs: list[dict[str, Any]]) -> str:
    """List the runs, each with its command."""
    header = ["seed", "error, %", "compression", "nonzero", "minutes", "commit"]
    rows = [
        [
            f"{run['seed']}",
            f"{run['error']:.2f}",
            f"{run['compression']:.1f}x",
            f"{run['nonzero']:,}",
            f"{run['seconds'] / 60:.1f}",
            _commit(run),
        ]
        for run in runs
    ]
    return f"`{_without_seed(runs[0])} --seed ...`:\n\n{_markdown(header, rows)}"


def _pruned(runs: list[dict[str, Any]]) -> str:
    """List the runs that were pruned further, each with what it was before."""
    trained = ["seed", "trained: error, %", "trained: compression", "threshold"]
    header = [*trained, "error, %", "compression", "nonzero", "commit"]
    rows = [
        [
            f"{run['seed']}",
            f"{run['error_trained']:.2f}",
            f"{run['compression_trained']:.1f}x",
            f"{run['threshold']:.2f}",
            f"{run['error']:.2f}",
            f"{run['compression']:.1f}x",
            f"{run['nonzero']:,}",
            run["commit"],
        ]
        for run in runs
    ]
    table = _markdown(header, rows)
    return f"`{runs[0]['command']}`, and so the other seeds:\n\n{table}"


def _packed() -> str:
    """List the packed files."""
    runs = json.loads((RESULTS / "packed.json").read_text(encoding="utf-8"))["runs"]
    names = ["network", "recipe", "seed", "nonzero"]
    header = [
        *names,
        "bytes in float32",
        "bytes packed",
        "error, %",
        "error packed",
        "change",
        "packed at",
    ]
    rows = [
        [
            TITLES[run["arch"]],
            run["recipe"],
            f"{run['seed']}",
            f"{run['nonzero']:,}",
            f"{run['dense_bytes']:,}",
            f"{run['bytes']:,}",
            f"{run['error']:.2f}",
            f"{run['error_packed']:.2f}",
            f"{run['error_packed'] - run['error']:+.2f}",
            run["commit"],
        ]
        for run in runs
    ]
    return _markdown(header, rows)


def _trials() -> str:
    """List the runs that others took the place of, those of one command and commit together."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for path in sorted(RESULTS.glob("trial-*.json")):
        for run in json.loads(path.read_text(encoding="utf-8"))["runs"]:
            groups.setdefault((_without_seed(run), _commit(run)), []).append(run)
    rows = [
        [
            f"`{command}`",
            ", ".join(f"{run['error']:.2f}" for run in runs),
            ", ".join(str(run["seed"]) for run in runs),
            "held out" if "--validation" in command else "test",
            _spread([run["compression"] for run in runs], "{:.1f}") + "x",
            commit,
        ]
        for (command, commit), runs in sorted(
            groups.items(), key=lambda each: "lenet5" in each[0][0]
        )
    ]
    header = ["command", "error, %", "seeds", "of the images", "compression", "commit"]
    return f"## Older runs\n\n{_markdown(header, rows)}"


def _without_seed(run: dict[str, Any]) -> str:
    return run["command"].replace(f" --seed {run['seed']}", "")


def _held_out() -> str:
    """List the trials that were measured on changed copies of what was held out."""
    found = json.loads((RESULTS / "held-out.json").read_text(encoding="utf-8"))
    rows = [
        [
            Path(network["file"]).stem,
            f"{network['seed']}",
            f"{network['epochs']}",
            f"{network['compression']:.1f}x",
            *(
                f"{network[name]:.2f}"
                for name in ("error", "error_changed", "error_learned_changed")
            ),
            *(f"{network[name]:.4f}" for name in ("loss", "loss_changed", "loss_learned_changed")),
        ]
        for network in found["networks"]
    ]
    images = ("held out", "changed", "learned, changed")
    numbers = [f"{number}: {which}" for number in ("error, %", "loss") for which in images]
    return _markdown(["trial", "seed", "epochs", "compression", *numbers], rows)


def _commit(run: dict[str, Any]) -> str:
    return f"{run['commit']}{' at its end' if run.get('resumed') else ''}"


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    if {len(line) for line in lines} != {len(header)}:
        raise ValueError(f"a row has not the {len(header)} cells of {header}")
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    README.write_text(
        f"{before}{BEGIN}{summarise()}{END}{rest.partition(END)[2]}", encoding="utf-8"
    )

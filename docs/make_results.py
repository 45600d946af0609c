"""Writes RESULTS.md from docs/results: python docs/make_results.py.

The files of results are written by `python -m experiments.results ARCH RECIPE`, that of the packed
files by `python -m experiments.packed CHECKPOINT...`, that of trials with images held out by
`python -m experiments.held_out CHECKPOINT...`.
"""

import json
from pathlib import Path
from statistics import mean
from typing import Any

RESULTS = Path(__file__).with_name("results")
PAGE = Path(__file__).parent.parent / "RESULTS.md"

INTRODUCTION = """\
# Results

Error is that of the last epoch on MNIST's 10,000 test images; the standard error of a test error of
1.9 % is 0.14. Compression is |W| / |W != 0|, weights of the variational layers, biases not counted.
Minutes are those of the whole command: evaluation after each epoch, a teacher's training and changed
images included. They were measured on two cores beside other work. Rows of several seeds have the
mean, with the least and greatest in brackets. Each number of ours is in a file in
[docs/results](docs/results); `python docs/make_results.py` makes this page of them, and
`python -m experiments.results ARCH RECIPE` writes such files. Of the runs of `strong`, those of
`paper` for LeNet-5 and those of the trials on test images it wrote a file for each seed, which were then
put into one. The trial with images held out is older: it is what `vdprune train --json` printed, with
seed, command and commit added by hand and the machine not noted. A + behind a commit says that files
differed from it; "at its end" that the run was interrupted and went on, and may have begun at an earlier
commit. Those are the runs of `paper` for LeNet-5, seeds 0 and 1 of `strong` for it at commit 8815d3e,
which they began at, too, seed 2 at commit 0e8f313, and seed 1 of `magnitude`.
"""

CHOICES = """\
## What was chosen on which images

- `paper` is the paper's recipe with the authors' constants; nothing was chosen. What its LeNet-5 was
  pruned to afterwards is the compression of the paper's table, no threshold that images chose.
  The authors' loss is a sum over all examples, ours their mean, and to Adam's epsilon that is not the
  same; one as small as it is beside theirs made no difference for LeNet-300-100 (one seed, 10,000 images
  held out).
- `magnitude` is the baseline, by the schedule of Zhu and Gupta ("To prune, or not to prune", 2017) to
  100x, about what `paper` comes to for LeNet-300-100, smallest weights of all layers first; nothing was
  chosen.
- `strong` for LeNet-300-100, as it was up to commit fffd294 (below): the shares of teacher and changed
  images, the KL weight, the prior and the rounds of cuts come from trials with another program, of which
  some were judged by test images, others by 10,000 held-out training images. Here it was run once with
  10,000 images held out before its other runs (the first trial below). After it two cuts were taken out,
  at compressions that the network had passed by then; nothing else was changed. It had a KL weight of 14
  and temperature 3 up to the last of three cuts, to 140x, 186x and 200x.
- A KL weight of 4 in its phase `rounds`, with cuts to 140x, 155x, 170x, 185x and 200x, was tried in the
  place of 14 (commit c314041 below), with the teachers of its own runs at 8231824. With images held out
  it had left fewer errors, on one seed; on the test images of three seeds it did not, and the recipe
  stayed as it was then. The runs at 8231824 and at fffd294 are of the same recipe; the later ones were
  made because a run takes less time since then, and took the place of the others whatever came of them.
- These were tried in its place, with 10,000 images held out and one teacher for all, on two of the three
  seeds that it had at 8231824: all phases twice as long; the last two twice as long; four cuts, at 140x,
  157x, 172x and 186x, at a KL weight of 7. None left fewer errors on both. On one seed small cuts from
  150x to 200x, eight of them, six epochs apart, left no fewer either.
- Three teachers for it, tried on the same 10,000 images, seed 0: about as many errors as with one. Tried
  with three of them: temperature 1 and a KL weight of 2.8 from the first cut on, with two cuts before
  the last or four, left a lower loss and as many errors; temperature 2 with 7, no fewer either. No
  changed images in the last phase, or in the last two: fewer training errors, as many of those held out.
  A teacher's share of 0.9 or 1: with 0.9 fewer on seeds 0 and 1, with 1 on one of them; fewest on both
  with 0.9, temperature 2 and a KL weight of 7, by about as much as one seed differs from another. A
  higher learning rate after the first or after the last cut: no fewer. At 300x, by nine cuts at
  temperature 1, there were far more.
- `strong` for LeNet-300-100, as it is now: the KL divergence no longer brings the network to more than
  100x, which costs errors from the first epochs on, but, with half the weight, 7, to about 50x. Then it
  is cut in steps from 80x to 200x, five epochs apart, at temperature 1 and a KL weight of 1.4. Steps of
  5 %, and of 2 % from 166x on, were tried so, with three teachers and a share of 0.9, and left fewer of
  the held-out images of seeds 0 and 1 wrong than the recipe before and all of the last point; with one
  teacher and even steps, which is the recipe, as few (seed 0). The runs above are of that, and took the
  place of those at fffd294 whatever came of them.
- Tried on the way on the images of seed 0, each in the place of the same part of that: KL weights of 4
  and 0.8, a higher loss and more errors; 10 and 2, temperature 2 with 3.5, and steps of 2 % from 120x
  on, eight epochs apart, about as few errors. On to 300x in such steps, far more. Strokes that are made
  thicker or thinner, beside the other changes of images (grey dilation and erosion, up to half of it
  mixed in), more.
- `strong` for LeNet-5: KL weights, temperatures, cuts and epochs come from trials with 10,000 images
  held out, seed 0 (their phase `sparsify` was trained once and gone on with). The last of them was
  of the recipe at commit 0e8f313, and was stopped at 378x. Then three seeds were run of that. The
  recipe before that one (commits 054b254 and 80f2471 below) had temperature 3 and a KL weight of 2
  throughout, and five cuts from 200x to 400x; it was chosen in the same way.
- Three teachers in the place of one, after the end of `sparsify`, left fewer of the held-out images of
  seed 0 wrong, and a lower loss; with noise that stays whole they did, too. So the recipe had three
  then, and was run again, to take the older runs' place whatever came of it (commit 80180e5). On the
  test images of three seeds they left no fewer wrong than one teacher had.
- As it is now, the recipe has one teacher, twice as many epochs of `sparsify`, in which the KL weight
  grows from epoch 5 to 40 and not from 2 to 8, and from 350x on cuts of less than 2 %, four epochs
  apart or six. These were tried on seeds 1 and 2, with 10,000 images held out. Without the small cuts
  the longer `sparsify` left fewer errors on both seeds at 60x to 200x and at 305x to 355x, on one of
  them at 240x and 275x, and as many at 400x; with them fewer at 400x on both. On seed 2 the noise
  stayed whole during all cuts; the recipe's falls, as it did on seed 1. No seed had both. The runs above
  are of this recipe, and took the place of those at 80180e5 (below) whatever came of them: on the test
  images of three seeds they left as many wrong.
- Two of the networks that were tried so were looked at. Of the images that they were trained on they
  have about half as many wrong as of those held out; of both with new changes, two thirds. So at 400x it
  is not only that the weights are few: which they are, and what, is learned from the training images.
- Tried on the images of seed 1 with the recipe of 8815d3e, from the end of `sparsify` on. A teacher's
  share of 0.9: more errors from 300x on (stopped at 390x). A KL weight of 1, then 0.05, in the place of
  0.4 and 0.02: more training errors, and of those held out no fewer (stopped nine epochs before the
  end), but of changed copies of them (last section). Noise that stays at half its size to the end of
  that, with twice as many epochs for each cut: no better than noise that ends.
- Three runs from there on that were the same but for a hundred-millionth of a learning rate went apart
  with the first cuts, and at the end differed in the images held out by as much as most of what was
  tried. So one run each can't tell such recipes apart, nor can two well. Of the images that a network
  has wrong, test images or held out, a third or more its teacher has wrong, too; yet three better
  teachers (one of them trained for 40 epochs), who together have a quarter fewer wrong, left no fewer.
- Images with a part of another one in them, up to 0.3 of its brightness, half of the changed images, the
  teacher being asked about what they are then: three runs from there on left fewer of the images held
  out wrong than the three without. But of changed copies of them, which tell more (last section), they
  have as many wrong; so has a run with a part of another one in all changed images. In `sparsify`, more
  were wrong at its end. It is in no recipe.
- Tried on the way, on the same images and seeds, each in the place of the same part of the recipe with
  one teacher (0e8f313). A step size of log_sigma2 of its own, five times the others', from the first
  cut on: no fewer; one of the two was stopped at 275x. The mean of the weights over the last epochs
  (Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI 2018), and
  on seed 1 also that of a last phase with whole noise and a learning rate that stays 1e-3: fewer by
  less than one network differs from epoch to epoch. On seed 1, teachers that had not been trained on
  the images that they speak of, each on two thirds of the images (Dao et al., "Knowledge distillation as
  semiparametric inference", ICLR 2021), with a share of 0.9 in the place of 0.7: more errors from the
  first cut on; given up at 330x.
- Tried with three teachers, on the images of seed 0. Elastic deformations (Simard, Steinkraus and Platt,
  ICDAR 2003) of all changed images, of up to 1.35 pixels: about twice as many training errors, no fewer
  of those held out, the loss the same. Noise that stays whole and a KL weight that stays 0.4 to the
  end: no better (stopped ten epochs before the end). For 20 epochs more of a network that was done,
  it had left fewer errors than noise that ends; noise of 1.5 times the size more.
- Tried on the way to 0e8f313, on the images of seed 0. Better, and so in the recipe: temperature 1,
  with a KL weight of 0.4 in the place of 2, from the first cut on; noise in the last phase (without it
  fewer training images became wrong, and more of those held out). No better: temperature 2 with a KL
  weight of 1; temperature 1 from the first epoch on; the teacher's share 1; stronger changes of
  images; a learning rate of 6e-3 after the last cut. Worse: a KL weight of 3 or 6 and fewer cuts;
  eleven cuts instead of five, all else as before; less noise, or none, during the cuts (better down to
  about 180x, and far worse from 250x on, as log alpha then is no longer learned). In another program,
  cuts by the whole curvature of the loss (Hassibi and Stork, "Second order derivatives for network
  pruning: optimal brain surgeon", 1993) without noise, three epochs after each: as good as log alpha
  down to 330x, and worse at 400x.
- Thirteen cuts to 400x, the smaller ones from 300x on, in 200 epochs were tried in the place of
  0e8f313 (commit 6201187 below): on the held-out images of one seed they had left fewer errors, on the
  test images of two seeds they did not, and the recipe stayed as it was then. Twice as many epochs for
  each of its nine cuts left fewer training images wrong and about as many of those held out. With all
  images changed, not six of ten, more were wrong at the end of `sparsify`, of both (one seed, stopped
  there).
- Tried with the recipe of 80f2471, one seed each: a KL weight of 4 (given up at 146x, where it had more
  errors than that recipe at 300x). No better at 400x, or not by more than one network differs from
  epoch to epoch: after the last cut 20 or 40 epochs of fine-tuning without noise at temperature 3,
  with as many changed images as before or a quarter of them; in another program, moving a tenth of the
  kept weights to where gradients are largest after each epoch (Evci et al., "Rigging the Lottery",
  ICML 2020); `paper`, cut at once to 400x and fine-tuned with the teacher.
- Images held out are drawn from the training images, and are by the same writers; the test images are by
  others (LeCun, Cortes and Burges, "The MNIST database of handwritten digits"). What a network learns of
  its writers is no error on them, so what is gained there may be less on the test images, or nothing, as
  with the recipe of 8815d3e.
- `lenet5` has ReLU after its convolutions, as the code of the paper has, and unlike Caffe's network.
- Of no run an epoch, a threshold or a seed was chosen: the figures are of the last epoch of every
  seed that was run.
"""

PACKED = """\
## Packed files

What `vdprune export --format packed` makes of the networks above. Its values have as few bits as let no
more than 0.1 % become wrong, or right, of the 10,000 images that bits are chosen by: training images,
which the networks were trained on, and never test images. So the error below, on the test images, is
not held to that. Bytes are those of the whole file, and of all arrays of the network in float32, zeros
included. `python -m experiments.packed CHECKPOINT...` wrote [the file](docs/results/packed.json) that
this is made of.
"""

HELD_OUT = """\
## Trials on changed copies of what was held out

Of two networks that have 80 of 10,000 images wrong, half of them the same, either may have ten more
wrong by chance. Copies of those images, changed a little, are no new images, but more of them are
wrong, and which ones depends less on chance. So networks of trials with 10,000 images held out, all of
`strong` for LeNet-5, were measured on five copies of each, turned, moved, scaled and sheared as the
recipe changes images; and on one copy of each image that they had learned from.
`python -m experiments.held_out CHECKPOINT...` wrote [the file](docs/results/held-out.json), which has
the whole recipe of each.

So measured, what was tried differs by more than runs of one recipe do: 8815d3e is better than 0e8f313,
the recipe before it, of which the errors on held-out images alone had said as much; and a KL weight of
1 after the first cut, then 0.05, in the place of 0.4 and 0.02, is better than both, though of the
images held out themselves it had left no fewer wrong. With a KL weight of 2, then 0.1, the errors are
about those of 8815d3e and the loss is lower. Twice as many epochs for each cut are better again; as
many, but 24 even cuts in the place of those that grow smaller from 350x on, are not. 24 changed copies
of each training image in the place of 8, with a KL weight of 1, leave no fewer errors, nor do three
teachers with 0.4. Three of the networks were stopped before the end of their recipe, as their epochs
show; that with even cuts before its last cut. The networks named by a commit are of its recipe,
"again" and "once more" but for a hundred-millionth of a learning rate; the one with whole noise has it
during all cuts. Those of seed 1, but for 0e8f313, go on from the end of `sparsify` of one run.
"""

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
RECIPES = ("paper", "strong", "magnitude")


def make_page() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
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
    parts += [PACKED, _packed(), CHOICES]
    parts += [_trials(), HELD_OUT, _held_out()]
    return "\n".join(parts)


def load_runs(arch: str, recipe: str) -> list[dict[str, Any]]:
    """Read the runs of a network by a recipe, as `arch-recipe.json` has them; none without that file."""
    path = RESULTS / f"{arch}-{recipe}.json"
    return json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []


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
    if len(values) == 1:
        return form.format(values[0])
    middle, least, most = (form.format(value) for value in (mean(values), min(values), max(values)))
    return f"{middle} ({least} to {most})"


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
    command = runs[0]["command"].replace(f" --seed {runs[0]['seed']}", "")
    return f"`{command} --seed ...`:\n\n{_markdown(header, rows)}"


def _pruned(runs: list[dict[str, Any]]) -> str:
    """List the runs that were pruned further, each with what it was before."""
    header = ["seed", "as trained: error, %", "compression", "threshold", "error, %", "compression"]
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
    table = _markdown([*header, "nonzero", "commit"], rows)
    return f"`{runs[0]['command']}`, and so the other seeds:\n\n{table}"


def _packed() -> str:
    """List the packed files."""
    runs = json.loads((RESULTS / "packed.json").read_text(encoding="utf-8"))["runs"]
    names = ["network", "recipe", "seed", "nonzero"]
    header = [*names, "bytes in float32", "bytes packed", "error, %", "packed", "change", "commit"]
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
    """List what was tried before."""
    rows = []
    for path in sorted(RESULTS.glob("trial-*.json")):
        for run in json.loads(path.read_text(encoding="utf-8"))["runs"]:
            images = "held out" if "--validation" in run["command"] else "test"
            numbers = f"{run['error']:.2f}", images, f"{run['compression']:.1f}x", _commit(run)
            rows.append([f"`{run['command']}`", *numbers])
    header = ["command", "error, %", "of the images", "compression", "commit"]
    return f"## What was tried\n\n{_markdown(header, rows)}"


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
    errors = ["error, %: held out", "changed", "learned, changed"]
    header = ["trial", "seed", "epochs", "compression", *errors]
    return _markdown([*header, "loss: held out", "changed", "learned, changed"], rows)


def _commit(run: dict[str, Any]) -> str:
    return f"{run['commit']}{' at its end' if run.get('resumed') else ''}"


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")

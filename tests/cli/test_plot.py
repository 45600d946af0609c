import re
import shutil
from pathlib import Path
from typing import Any

import chainer.functions as F
import h5py
import pytest

from tests.conftest import Run
from vdprune.chain import VariationalDropoutChain
from vdprune.cli.loading import LoadedFile, load_any
from vdprune.cli.pictures import _phases, draw_all
from vdprune.export import export_chain
from vdprune.links import InputScaling, VariationalDropoutLinear
from vdprune.sparsity import NetworkSparsity

MASKS = ["mask-l1", "mask-l2", "mask-l3"]
OF_CHECKPOINT = ["curves", "error-against-compression", "log-alpha", *MASKS]


@pytest.mark.parametrize(
    ("file", "names"),
    [("checkpoint.h5", OF_CHECKPOINT), ("pruned.h5", OF_CHECKPOINT), ("weights.h5", MASKS)],
)
def test_pictures_of_each_file(
    run: Run, trained: Path, tmp_path: Path, file: str, names: list[str]
) -> None:
    shutil.copy(trained / file, tmp_path)
    result = run("plot", file)
    assert result.returncode == 0, result.stderr
    folder = f"{Path(file).stem}-plots"
    assert result.stdout.splitlines() == [f"{folder}/{name}.png" for name in names]
    for name in names:
        assert (tmp_path / folder / f"{name}.png").stat().st_size > 5000
    assert ("knows no history and no noise" in result.stderr) == (file == "weights.h5")


def forget_noise_and_cuts(path: Path) -> None:
    """Make a checkpoint what a recipe without noise leaves."""
    with h5py.File(path, "r+") as file:
        for layer in ("l1", "l2", "l3"):
            file[f"model/{layer}/W"][...], file[f"model/{layer}/log_sigma2"][...] = 1, -40
            file[f"history/sparsity_of/{layer}"][...] = 0
        for column in ("kl", "kl_coef", "sparsity"):
            file[f"history/{column}"][...] = 0


def test_a_dense_network_has_curves_alone(run: Run, trained: Path, tmp_path: Path) -> None:
    shutil.copy(trained / "checkpoint.h5", tmp_path / "dense.h5")
    forget_noise_and_cuts(tmp_path / "dense.h5")
    result = run("plot", "dense.h5")
    assert (result.returncode, result.stdout) == (0, "dense-plots/curves.png\n")
    assert result.stderr.splitlines() == [
        "dense.h5 was trained without noise, so there is no picture of log alpha",
        "all weights are left in l1, l2, l3, so there is no picture of that",
    ]
    assert run("report", "dense.h5").returncode == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 1
    assert re.findall("<h2>(.*)</h2>", page) == ["Layers", "Training", "Epoch by epoch", "Recipe"]


@pytest.mark.parametrize(
    ("epochs", "done", "starts"),
    [
        ([30], 30, [0, 20]),  # a run that is done
        ([5], 5, [0, 20]),  # one that is not
        ([5], None, [0, 20]),  # the same, pruned, or the best of its epochs
        ([50, 30], None, [50, 70]),  # a fine-tuning that is done
        ([50, 3], 3, [50, 70]),  # one that is not
        ([50, 3], None, [50, 70]),  # the best of its epochs
        ([50, 1, 1], None, [51, 71]),  # after another
        ([50], 0, [50, 70]),  # one that has just begun
    ],
)
def test_where_phases_begin(epochs: list[int], done: int | None, starts: list[int]) -> None:
    recipe = {"phases": [{"name": "a", "epochs": 20}, {"name": "b", "epochs": 10}]}
    history = [{"iteration": 9.0 * n} for count in epochs for n in range(1, count + 1)]
    loaded = LoadedFile(
        "pruned",
        None,
        "lenet300",
        "mnist",
        3.0,
        NetworkSparsity(()),
        recipe,
        history,
        run_epochs=done,
    )
    assert _phases(loaded) == list(zip("ab", starts, strict=True))


class Own(VariationalDropoutChain):
    """A network whose first layer is not the first by name, and that scales and shapes its inputs."""

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.scaling = InputScaling((1, 8, 8))
            self.hidden = VariationalDropoutLinear(64, 64)
            self.classifier = VariationalDropoutLinear(64, 4)

    def forward(self, x: Any) -> Any:
        pixels = F.reshape(self.scaling(x), (len(x), 64))
        return self.classifier(F.relu(self.hidden(pixels)))


def test_the_layer_that_reads_pixels_is_drawn_as_pixels(tmp_path: Path) -> None:
    model = Own()
    for _, link in model.named_variational_links():
        link.log_sigma2.array[0] = 5  # cut
    export_chain(model, (1, 8, 8), tmp_path / "own.h5")
    figures = dict(draw_all(load_any(tmp_path / "own.h5", needs_model=False)))
    sizes = {name: figure.axes[0].images[0].get_size() for name, figure in figures.items()}
    assert sizes == {"mask-hidden": (8, 8), "mask-classifier": (4, 64)}


def test_a_checkpoints_first_layer_reads_pixels(trained: Path) -> None:
    for file in ("checkpoint.h5", "weights.h5"):
        figures = dict(draw_all(load_any(trained / file, needs_model=False)))
        sizes = {name: figures[name].axes[0].images[0].get_size() for name in MASKS}
        assert sizes == {"mask-l1": (8, 8), "mask-l2": (100, 300), "mask-l3": (3, 100)}


def test_folder_and_format(run: Run, trained: Path, tmp_path: Path) -> None:
    result = run("plot", trained / "weights.h5", "--out", "b", "--format", "svg", "--quiet")
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [
        f"{name}.svg" for name in MASKS
    ]


def test_a_file_in_the_place_of_the_folder(run: Run, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    result = run("plot", trained / "weights.h5", "--out", "taken")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "taken is a file: pictures go into a folder" in result.stderr


def test_only_the_folder_itself_is_made(run: Run, trained: Path, tmp_path: Path) -> None:
    result = run("plot", trained / "weights.h5", "--out", "a/b")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "a/b can't be made: there is no folder 'a'; make it, or" in result.stderr
    assert not (tmp_path / "a").exists()


def test_pictures_of_others_stay(run: Run, trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    assert run("plot", trained / "weights.h5", "--out", folder).returncode == 0
    assert run("plot", trained / "weights.h5", "--out", folder).returncode == 0
    (folder / "mask-l1.png").write_bytes(b"my own")
    result = run("plot", trained / "weights.h5", "--out", folder)
    assert result.returncode == 1
    assert "mask-l1.png exists and was not written by vdprune" in result.stderr
    assert (folder / "mask-l1.png").read_bytes() == b"my own"


def test_no_such_file(run: Run) -> None:
    result = run("plot", "nothing.h5")
    assert result.returncode == 1
    assert "there is no file 'nothing.h5'" in result.stderr

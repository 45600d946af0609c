"""What several test files share: small data, a small trained network, the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy
import pytest

from vdprune import threads  # before any test file imports Chainer, which works only from then on

Run = Callable[..., subprocess.CompletedProcess[str]]

STAND_IN = Path(__file__).parent / "stand_in"  # for CuPy, on the CPU


def wants_real_gpu(config: pytest.Config) -> bool:
    """Whether tests are for a real GPU: `pytest -m gpu`."""
    return config.option.markexpr.strip() == "gpu"


def pytest_configure(config: pytest.Config) -> None:
    """Put the stand-in in CuPy's place before Chainer is imported, unless there is to be a GPU."""
    if wants_real_gpu(config):
        return
    sys.path.insert(0, str(STAND_IN))
    for name in list(sys.modules):  # pytest may have loaded CuPy for a plugin
        if name.partition(".")[0] in ("cupy", "cupyx"):
            del sys.modules[name]


def pytest_collection_finish(session: pytest.Session) -> None:
    """End at once where there is to be a GPU and is none."""
    if wants_real_gpu(session.config):
        from vdprune.devices import get_device
        from vdprune.errors import DeviceError

        try:
            get_device(0)
        except DeviceError as error:
            pytest.exit(str(error), returncode=1)


def recipe_options(
    epochs: int, batch_size: int, kl_weight: tuple[int, int], theta_std: float = 0.01
) -> tuple[object, ...]:
    """Options of `vdprune train` for the paper's recipe, at another pace.

    The KL weight goes from 0 to 1 from the first of the two epochs to the second.
    """
    start, end = kl_weight
    return (
        *("--epochs", epochs, "--batch-size", batch_size),
        *("--set", f"variational.kl_weight=[[{start}, 0], [{end}, 1]]"),
        *("--set", f"theta_std={theta_std}"),
    )


def change_phase(path: Path, **values: object) -> None:
    """Change fields of the only phase of a checkpoint's recipe."""
    with h5py.File(path, "r+") as file:
        recipe = json.loads(file.attrs["recipe"])
        recipe["phases"][0].update(values)
        file.attrs["recipe"] = json.dumps(recipe)


@pytest.fixture(scope="session")
def gpu() -> Any:
    """The first GPU, a device of Chainer's."""
    from vdprune.devices import get_device

    return get_device(0)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    numpy.random.seed(0)


def make_tiny_arrays(seed: int = 0) -> dict[str, numpy.ndarray]:
    """Three classes of 8x8 images that differ in which third of the rows is bright."""
    random = numpy.random.default_rng(seed)
    arrays = {}
    for part, count in (("train", 300), ("test", 90)):
        t = numpy.arange(count) % 3
        x = random.integers(0, 80, (count, 1, 8, 8))
        for i, label in enumerate(t):
            x[i, 0, 2 * label : 2 * label + 3] += 120
        arrays[f"x_{part}"] = x.astype(numpy.uint8)
        arrays[f"y_{part}"] = t
    return arrays


@pytest.fixture(scope="session")
def tiny_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set file: 300 training and 90 test images of shape (1, 8, 8) in 3 classes."""
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    numpy.savez(path, **make_tiny_arrays())
    return path


def run_vdprune(
    *args: object, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, as a user would type it."""
    return subprocess.run(
        [sys.executable, "-m", "vdprune", *map(str, args)],
        cwd=cwd,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **(env or {})},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`vdprune` in the test's own empty folder."""

    def run(*args: object, cwd: Path = tmp_path, **kwargs: object) -> Run:
        return run_vdprune(*args, cwd=cwd, **kwargs)

    return run


@pytest.fixture(scope="session")
def trained(tiny_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with checkpoint.h5, pruned.h5 and weights.h5 of a network trained on `tiny_npz`.

    To be read only; its lenet300 is sparse (some, not all weights of each layer are cut) and errs
    on less than 20 % of the test images.
    """
    folder = tmp_path_factory.mktemp("trained")
    recipe = recipe_options(10, 20, kl_weight=(6, 60), theta_std=0.1)
    steps = (
        ("train", "--dataset", tiny_npz, *recipe, "--quiet"),
        ("prune", "--quiet"),
        ("export", "--quiet"),
    )
    for step in steps:
        result = run_vdprune(*step, cwd=folder)
        assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def one_step_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each update of a training run be a single step, for tests that look between steps."""
    monkeypatch.setattr("vdprune.training.multi_step._MOST", 0)


@pytest.fixture(scope="module")
def two_threads() -> Iterator[None]:
    """Let there be two threads on any machine; on one processor they take turns."""
    with pytest.MonkeyPatch.context() as patch:
        most = max(2, threads._available_processors())
        patch.setattr(threads, "_available_processors", lambda: most)
        yield


@pytest.fixture
def however_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no update of a training run end because of the time that it takes."""
    monkeypatch.setattr("vdprune.training.multi_step._SECONDS", 1e9)

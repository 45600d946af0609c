import shutil
from pathlib import Path

import pytest

from tests.conftest import Run

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


def test_folder_and_format(run: Run, trained: Path, tmp_path: Path) -> None:
    result = run("plot", trained / "weights.h5", "--out", "a/b", "--format", "svg", "--quiet")
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == [
        f"{name}.svg" for name in MASKS
    ]


def test_a_file_in_the_place_of_the_folder(run: Run, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    result = run("plot", trained / "weights.h5", "--out", "taken")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "taken" in result.stderr


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

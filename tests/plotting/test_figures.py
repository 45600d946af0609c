import sys
from pathlib import Path

import pytest

from vdprune import plotting
from vdprune.errors import ArgumentError, FileWriteError
from vdprune.plotting.figures import make_figure

START = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}


@pytest.mark.parametrize("suffix", START)
def test_pictures_are_of_the_kind_that_their_name_says(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    plotting.check_picture(path)
    assert not path.exists()
    plotting.save_figure(make_figure(), path)
    assert path.read_bytes().startswith(START[suffix])
    plotting.check_picture(path)  # it may be replaced


@pytest.mark.parametrize("suffix", START)
def test_a_file_of_others(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(START[suffix])
    with pytest.raises(FileWriteError, match="was not written by vdprune"):
        plotting.check_picture(path)


@pytest.mark.parametrize("name", ["picture", "picture.jpeg"])
def test_other_kinds_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArgumentError, match=r"a picture ends in .png, .svg, .pdf"):
        plotting.check_picture(tmp_path / name)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileWriteError):
        plotting.check_picture(tmp_path / "nowhere" / "a.png")


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ArgumentError, match="pip install matplotlib"):
        plotting.check_picture(tmp_path / "a.png")

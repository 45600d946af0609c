from pathlib import Path

import pytest

from vdprune import plotting
from vdprune.errors import ArgumentError, FileWriteError
from vdprune.sweep import SweepPoint

POINTS = [
    SweepPoint(-3.0, 1000, 0, 90.0, 2.0),
    SweepPoint(-1.0, 1000, 10, 5.0, 0.2),
    SweepPoint(3.0, 1000, 100, 2.0, 0.1),
]
START = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}


@pytest.mark.parametrize("suffix", START)
def test_pictures_are_of_the_kind_that_their_name_says(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"sweep{suffix}"
    plotting.check_picture(path)
    assert not path.exists()
    plotting.draw_sweep(path, POINTS, 3.0, POINTS[1], "9 examples")
    assert path.read_bytes().startswith(START[suffix])


def test_what_a_picture_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = []
    figure_class = plotting._load_matplotlib().Figure

    def make(*args: object, **kwargs: object) -> object:
        figures.append(figure_class(*args, **kwargs))
        return figures[0]

    monkeypatch.setattr(plotting._load_matplotlib(), "Figure", make)
    plotting.draw_sweep(tmp_path / "a.png", POINTS, 3.0, POINTS[1], "9 examples")
    (axes,) = figures[0].axes
    curve, own, chosen = axes.lines
    assert list(curve.get_xdata()) == [100, 10]
    assert list(curve.get_ydata()) == [5, 2]
    assert (list(own.get_xdata()), list(chosen.get_xdata())) == ([10], [100])
    assert axes.get_title() == "on 9 examples"
    assert axes.get_yscale() == "log"
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == [
        "log alpha 3, the network's own: 2.00 % at 10.0x",
        "log alpha -1, chosen: 5.00 % at 100.0x",
    ]


def test_no_error_at_all(tmp_path: Path) -> None:
    points = [SweepPoint(3.0, 1000, 100, 0.0, 0.1)]
    plotting.draw_sweep(tmp_path / "a.png", points, 3.0, None, "9 examples")
    assert (tmp_path / "a.png").exists()


@pytest.mark.parametrize("name", ["picture", "picture.jpeg"])
def test_other_kinds_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArgumentError, match=r"a picture ends in .png, .svg, .pdf"):
        plotting.check_picture(tmp_path / name)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileWriteError):
        plotting.check_picture(tmp_path / "nowhere" / "a.png")


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ArgumentError, match=r"pip install '.\[plot\]'"):
        plotting.check_picture(tmp_path / "a.png")

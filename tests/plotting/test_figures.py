import sys
from pathlib import Path

import pytest

from vdprune import plotting
from vdprune.errors import ArgumentError, FileWriteError
from vdprune.plotting.figures import make_figure, set_scale

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
    with pytest.raises(FileWriteError, match="there is no folder '.*nowhere'; make it"):
        plotting.check_picture(tmp_path / "nowhere" / "a.png")


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ArgumentError, match="pip install matplotlib"):
        plotting.check_picture(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([1.2, 120.0], ["1x", "2x", "5x", "10x", "20x", "50x", "100x"]),
        ([1.0, 5.0], ["1x", "1.5x", "2x", "3x", "5x"]),
        ([1.0, 5000.0], ["1x", "10x", "100x", "1,000x"]),
        ([100.0, 101.0], ["100x", "100.2x", "100.4x", "100.6x", "100.8x", "101x"]),
        ([0.0, 10.0], ["0x", "2x", "4x", "6x", "8x", "10x"]),
    ],
)
def test_ticks_are_plain_numbers(values: list[float], ticks: list[str]) -> None:
    figure = make_figure()
    axes = figure.subplots()
    axes.plot(values, values)
    set_scale(axes, "x", "compression", "x", values)
    figure.draw_without_rendering()
    low, high = axes.get_xlim()
    shown = [tick.label1.get_text() for tick in axes.xaxis.get_major_ticks()]
    places = axes.xaxis.get_majorticklocs()
    assert [t for t, x in zip(shown, places, strict=True) if low <= x <= high] == ticks
    assert ("log scale" in axes.get_xlabel()) == (axes.get_xscale() == "log")
    assert not [text for text in axes.xaxis.get_minorticklabels() if text.get_text()]


def test_nothing_to_scale() -> None:
    axes = make_figure().subplots()
    set_scale(axes, "y", "error", " %", [])
    assert axes.get_yscale() == "linear"

import json
from pathlib import Path

import pytest

from tests.conftest import Run


@pytest.mark.parametrize(
    ("file", "pictures"), [("checkpoint.h5", 6), ("pruned.h5", 6), ("weights.h5", 3)]
)
def test_report_of_each_file(
    run: Run, trained: Path, tmp_path: Path, file: str, pictures: int
) -> None:
    result = run("report", trained / file)
    assert (result.returncode, result.stderr) == (0, "report.html is written\n")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<img ") == pictures
    assert ("<h2>Recipe</h2>" in page) == (file != "weights.h5")
    facts = json.loads(run("eval", trained / file, "--json").stdout)
    assert f"<dd>{facts['error']:.2f} %</dd>" in page
    assert f"<dd>{facts['nonzero']:,} of {facts['weights']:,}</dd>" in page
    assert run("report", trained / file, "--quiet").stderr == ""  # a page of ours may be replaced


def test_pages_of_others_stay(run: Run, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text("<p>mine</p>")
    result = run("report", trained / "weights.h5", "--out", "mine.html")
    assert result.returncode == 1
    assert "was not written by vdprune" in result.stderr
    assert (tmp_path / "mine.html").read_text() == "<p>mine</p>"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing.h5",), "nothing.h5': `vdprune train` writes"),
        (("weights.h5", "--out", "report.pdf"), "a report ends in .html"),
        (("weights.h5", "--out", "nowhere/report.html"), "nowhere"),
    ],
)
def test_wrong_input(run: Run, trained: Path, arguments: tuple[str, ...], message: str) -> None:
    file, *rest = arguments
    result = run("report", trained / file, *rest)
    assert result.returncode == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1

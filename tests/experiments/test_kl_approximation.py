import json
import math
import sys
from pathlib import Path

import numpy
import pytest
import scipy.special
import scipy.stats
from click.testing import CliRunner

from experiments import kl_approximation

ROOT = Path(__file__).parent.parent.parent


def test_exact_value_agrees_with_samples() -> None:
    random = numpy.random.default_rng(0)
    for log_alpha in (-4.0, -1.0, 0.0, 2.0, 6.0):
        logarithms = numpy.log(abs(random.normal(1, math.exp(0.5 * log_alpha), 500_000)))
        sampled = 0.5 * log_alpha - logarithms.mean() + kl_approximation.CONSTANT
        exact = kl_approximation.exact_negative_kl(log_alpha)
        assert exact == pytest.approx(sampled, abs=4 * logarithms.std() / math.sqrt(500_000))


@pytest.mark.parametrize("log_alpha", [-8.0, -6.5, -3.0, -1.0, 0.0, 1.0, 4.0, 8.0])
def test_exact_value_agrees_with_the_mixture_of_chi_squared_distributions(log_alpha: float) -> None:
    m = 0.5 * math.exp(-log_alpha)
    j = numpy.arange(m + 20 * math.sqrt(m) + 60)
    mean = scipy.stats.poisson.pmf(j, m) @ scipy.special.digamma(j + 0.5)
    expected = -0.5 * (math.log(2) + mean) + kl_approximation.CONSTANT
    assert kl_approximation.exact_negative_kl(log_alpha) == pytest.approx(expected, abs=1e-10)


def test_limits_of_the_exact_value() -> None:
    assert kl_approximation.exact_negative_kl(60.0) == pytest.approx(0, abs=1e-12)
    # so little noise that the mean of log|e| is -alpha / 2, of the order of the tolerance
    log_alpha = math.log(1e-4)
    expected = 0.5 * log_alpha + kl_approximation.CONSTANT
    assert kl_approximation.exact_negative_kl(log_alpha) == pytest.approx(expected, abs=1e-4)


def test_cubic_is_that_of_kingma_et_al() -> None:
    at_one = kl_approximation.cubic_negative_kl(0.0) - kl_approximation.CONSTANT
    assert at_one == pytest.approx(0.24570927)
    at_half = kl_approximation.cubic_negative_kl(math.log(0.5)) - kl_approximation.CONSTANT
    assert at_half == pytest.approx(0.5 * math.log(0.5) + 0.580725620 - 0.375510295 + 0.07328740125)


def test_greatest_difference() -> None:
    results = kl_approximation.compare()
    differences = abs(numpy.subtract(results["approximation"], results["exact"]))
    found = results["greatest_difference"]["approximation"]
    assert found["difference"] == differences.max() < 0.01
    assert found["log_alpha"] == results["log_alpha"][differences.argmax()]
    assert len(results["cubic"]) == results["log_alpha"].index(0) + 1
    assert 0.02 < results["greatest_difference"]["cubic"]["difference"] < 0.05


def test_results_in_docs_are_what_the_command_writes() -> None:
    path = ROOT / "docs" / "results" / "kl-approximation.json"
    written, results = json.loads(path.read_text("utf-8")), kl_approximation.compare()
    assert written.keys() == results.keys()
    for name in ("log_alpha", "exact", "approximation", "cubic", "constant"):
        assert results[name] == pytest.approx(written[name], rel=1e-9, abs=1e-12), name
    for name, found in results["greatest_difference"].items():
        assert found == pytest.approx(written["greatest_difference"][name], rel=1e-6)
    readme = (ROOT / "experiments" / "README.md").read_text("utf-8")
    assert [line for line in kl_approximation.tell_differences(written) if line not in readme] == []


def test_figure() -> None:
    results = kl_approximation.compare()
    values, differences = kl_approximation.draw(results).axes
    exact, approximation, cubic = values.lines
    assert list(exact.get_ydata()) == results["exact"]
    assert list(approximation.get_ydata()) == results["approximation"]
    assert list(cubic.get_xdata()) == [x for x in results["log_alpha"] if x <= 0]
    assert max(differences.lines[0].get_ydata()) < 0.01
    assert values.get_ylabel() == "-KL, nats"


def test_command(tmp_path: Path) -> None:
    json_path, picture = tmp_path / "kl.json", tmp_path / "kl.png"
    options = ["--json", str(json_path), "--picture", str(picture)]
    result = CliRunner().invoke(kl_approximation.main, options)
    assert result.exit_code == 0, result.output
    assert "approximation: at most 0.0094 nats from the exact value" in result.stdout
    assert json.loads(json_path.read_text())["constant"] == kl_approximation.CONSTANT
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    options = ["--json", str(tmp_path / "kl.json"), "--picture", str(tmp_path / "kl.svg")]
    result = CliRunner().invoke(kl_approximation.main, options)
    assert result.exit_code == 1
    assert result.output == (
        "Error: pictures need matplotlib 3.8 or later, which is not installed: "
        f"{sys.executable} -m pip install matplotlib\n"
    )
    assert list(tmp_path.iterdir()) == []

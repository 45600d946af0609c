"""The KL approximation against the exact value: python -m experiments.kl_approximation.

Figure 1 of Molchanov et al., ICML 2017.
"""

import math
from pathlib import Path
from typing import Any

import click
import numpy
import scipy.integrate
import scipy.special

from experiments.output import output_options, run_experiment
from vdprune.functions import kl_divergence
from vdprune.kernels.constants import LOG_ALPHA_MAX, LOG_ALPHA_MIN
from vdprune.plotting.figures import BLUE, GREY, ORANGE, make_figure

_STEPS_PER_UNIT = 16  # of log alpha

# 0.5 * (log 2 + digamma(1/2)): the constant with which -KL goes to 0 as alpha grows
CONSTANT = -0.5 * (numpy.euler_gamma + math.log(2))


def exact_negative_kl(log_alpha: float) -> float:
    """-KL(q || p) of one weight, to double precision and without sampling.

    -KL = 0.5 * log(alpha) - E[log|e|] + C with e ~ N(1, alpha). The square of e / sqrt(alpha) follows a
    noncentral chi-squared distribution of one degree of freedom, a Poisson mixture of central ones
    whose logarithms have the means log 2 + digamma(j + 1/2). So with m = 1 / (2 * alpha) and j ~
    Poisson(m), -KL = -0.5 * E[digamma(j + 1/2) - digamma(1/2)]. One more j adds 1 / (j + 1/2) to the
    difference, hence dKL/dm = 0.5 * E[1 / (j + 1/2)] = D(sqrt(m)) / sqrt(m), D being Dawson's
    integral; and KL = 0 at m = 0. In u = sqrt(m) that is KL = 2 * integral of D from 0 to sqrt(m).

    Args:
        log_alpha: Log alpha of the weight.

    Returns:
        -KL in nats, 0 where alpha is infinite.
    """
    end = math.exp(-0.5 * log_alpha) / math.sqrt(2)
    integral, _ = scipy.integrate.quad(
        scipy.special.dawsn, 0, end, epsabs=1e-13, epsrel=1e-13, limit=200
    )
    return -2 * integral


def cubic_negative_kl(log_alpha: float) -> float:
    """Approximate -KL(q || p) of one weight by a polynomial of alpha, for alpha up to 1.

    Args:
        log_alpha: Log alpha of the weight.

    Returns:
        -KL in nats. The polynomial leaves the constant open; with that of the exact value the two agree
        as alpha goes to 0.

    Source: Kingma et al., "Variational Dropout and the Local Reparameterization Trick", NIPS 2015.
    """
    alpha = math.exp(log_alpha)
    return (
        0.5 * log_alpha
        + CONSTANT
        + 1.16145124 * alpha
        - 1.50204118 * alpha**2
        + 0.58629921 * alpha**3
    )


def compare() -> dict[str, Any]:
    """Compute the exact value and both approximations over the range of log alpha in training.

    Returns:
        ``log_alpha``; -KL by each way, ``cubic`` only where alpha is at most 1; and of each
        approximation the greatest absolute difference from the exact value, and where it is.
    """
    steps = int((LOG_ALPHA_MAX - LOG_ALPHA_MIN) * _STEPS_PER_UNIT)
    log_alpha = [LOG_ALPHA_MIN + step / _STEPS_PER_UNIT for step in range(steps + 1)]
    exact = [exact_negative_kl(x) for x in log_alpha]
    approximation = [-float(kl_divergence(numpy.array([x])).array) for x in log_alpha]
    cubic = [cubic_negative_kl(x) for x in log_alpha if x <= 0]
    return {
        "log_alpha": log_alpha,
        "exact": exact,
        "approximation": approximation,
        "cubic": cubic,
        "constant": CONSTANT,
        "greatest_difference": {
            "approximation": _find_greatest(log_alpha, exact, approximation),
            "cubic": _find_greatest(log_alpha, exact, cubic),
        },
    }


def draw(results: dict[str, Any]) -> Any:
    """Draw what `compare` returned.

    Args:
        results: Its results.

    Returns:
        matplotlib's figure: the values, and below them the differences from the exact one.
    """
    figure = make_figure(7, 6)
    values, differences = figure.subplots(2, sharex=True, height_ratios=(2, 1))
    log_alpha, exact = results["log_alpha"], results["exact"]
    values.plot(log_alpha, exact, color=GREY, linewidth=5, label="exact")
    for name, color, label in (
        ("approximation", BLUE, "sigmoid (Molchanov et al., 2017)"),
        ("cubic", ORANGE, "cubic, for alpha up to 1 (Kingma et al., 2015)"),
    ):
        y = results[name]
        x = log_alpha[: len(y)]
        values.plot(x, y, color=color, label=label)
        difference = [a - b for a, b in zip(y, exact[: len(y)], strict=True)]
        differences.plot(x, difference, color=color)
    values.set(ylabel="-KL, nats")
    values.legend(frameon=False)
    differences.set(xlabel="log alpha", ylabel="difference from exact")
    differences.axhline(0, color=GREY, linewidth=1)
    for axes in (values, differences):
        axes.grid(alpha=0.2)
    return figure


def tell_differences(results: dict[str, Any]) -> list[str]:
    """Say how good the approximations are.

    Args:
        results: What `compare` returned.

    Returns:
        A line for each.
    """
    return [
        f"{name}: at most {found['difference']:.4f} nats from the exact value, at log alpha "
        f"{found['log_alpha']:g}"
        for name, found in results["greatest_difference"].items()
    ]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@output_options("kl-approximation")
def main(json: Path, picture: Path) -> None:
    """Compare the approximation of the KL divergence with its exact value."""
    run_experiment(compare, draw, tell_differences, json, picture)


def _find_greatest(
    log_alpha: list[float], exact: list[float], values: list[float]
) -> dict[str, float]:
    rows = zip(log_alpha, exact, values, strict=False)  # the cubic ends at log alpha 0
    difference, where = max((abs(value - truth), x) for x, truth, value in rows)
    return {"difference": difference, "log_alpha": where}


if __name__ == "__main__":
    main(prog_name="python -m experiments.kl_approximation")

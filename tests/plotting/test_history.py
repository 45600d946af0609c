import math
from typing import Any

import pytest

from vdprune import plotting

HISTORY = [
    {
        "epoch": float(epoch),
        "error": 5.0 / epoch,
        "train_error": 10.0 / epoch,
        "class": 0.5 / epoch,
        "kl": 3.0 / epoch,
        "kl_coef": epoch / 3,
        "sparsity": 0.3 * epoch,
        "sparsity_of/l1": 0.31 * epoch,
        "sparsity_of/l2": 0.2 * epoch,
        "compression": 1 / (1 - 0.3 * epoch),
    }
    for epoch in (1, 2, 3)
]


NO_NOISE = {"kl": 0.0, "kl_coef": 0.0}
DENSE = {**NO_NOISE, "sparsity": 0.0, "sparsity_of/l1": 0.0, "sparsity_of/l2": 0.0}


def labels(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_curves() -> None:
    errors, losses, weight, left = plotting.draw_curves(HISTORY).axes
    assert [list(line.get_ydata()) for line in errors.lines] == [
        [5, 2.5, 5 / 3],
        [10, 5, 10 / 3],
    ]
    assert labels(losses) == ["cross entropy", "KL / N"]
    assert list(losses.lines[1].get_ydata()) == [3, 1.5, 1]
    (steps,) = weight.lines
    assert (
        steps.get_drawstyle() == "steps-pre"
    )  # from one point to the next at the height of the next
    assert list(steps.get_xdata()) == [0, 1, 2, 3]
    assert list(steps.get_ydata()) == pytest.approx([1 / 3, 1 / 3, 2 / 3, 1])
    assert labels(left) == ["l1", "l2", "all layers"]
    assert list(left.lines[2].get_ydata()) == pytest.approx([70, 40, 10])
    assert [axes.get_ylabel() for axes in (errors, losses, weight, left)] == [
        "error, log scale",
        "loss, nats, log scale",
        "KL weight",
        "weights left, log scale",
    ]
    assert [axes.get_yscale() for axes in (errors, losses, weight)] == ["log", "log", "linear"]
    assert left.get_xlabel() == "epoch"


@pytest.mark.parametrize(
    ("changes", "panels"),
    [(DENSE, ["error", "loss, nats"]), (NO_NOISE, ["error", "loss, nats", "weights left"])],
)
def test_what_there_is_none_of_is_not_drawn(changes: dict[str, float], panels: list[str]) -> None:
    figure = plotting.draw_curves([{**row, **changes} for row in HISTORY])
    assert [axes.get_ylabel().removesuffix(", log scale") for axes in figure.axes] == panels
    assert labels(figure.axes[1]) == ["cross entropy"]


def test_no_legend_lies_over_a_curve() -> None:
    figure = plotting.draw_curves(HISTORY)
    figure.draw_without_rendering()
    for axes in (figure.axes[0], figure.axes[1], figure.axes[3]):
        assert axes.get_legend().get_window_extent().x0 >= axes.get_window_extent().x1


@pytest.mark.parametrize("name", ["rounds", "$x_$", "a name that is too long for its short phase"])
def test_phases_are_marked(name: str) -> None:
    phases = [("first", 0), (name, 2), ("not begun", 3)]
    figure = plotting.draw_curves(HISTORY, phases)
    assert [text.get_text() for text in figure.axes[0].texts] == ["first", name]
    for axes in figure.axes:
        assert [list(line.get_xdata()) for line in axes.lines[-2:]] == [[0, 0], [2, 2]]
    figure.draw_without_rendering()
    first, second = (text.get_window_extent() for text in figure.axes[0].texts)
    assert not first.overlaps(second)


@pytest.mark.parametrize("most", [0.1, 1.0, 14.0])
def test_the_kl_weight_is_seen_whole(most: float) -> None:
    history = [{**HISTORY[0], "kl_coef": 0.0}, {**HISTORY[1], "kl_coef": most}]
    weight = plotting.draw_curves(history).axes[2]
    assert weight.get_ylim() == (0, pytest.approx(1.05 * most))


def test_curves_that_reach_zero() -> None:
    history = [*HISTORY, {**HISTORY[-1], "error": 0.0, "class": 0.0, "sparsity_of/l1": 1.0}]
    errors, losses, _, left = plotting.draw_curves(history).axes
    assert {axes.get_yscale() for axes in (errors, losses, left)} == {"linear"}
    assert errors.get_ylabel() == "error"


def test_a_phase_without_noise_has_no_divergence() -> None:
    losses = plotting.draw_curves([{**HISTORY[0], **NO_NOISE}, *HISTORY[1:]]).axes[1]
    assert math.isnan(losses.lines[1].get_ydata()[0])
    assert losses.get_yscale() == "log"


def test_error_against_compression() -> None:
    collapsed = {**HISTORY[-1], "compression": float("inf"), "error": 90.0}
    axes, _ = plotting.draw_error_against_compression([*HISTORY, collapsed]).axes
    (points,) = axes.collections
    assert points.get_offsets().tolist() == [
        pytest.approx([row["compression"], row["error"]]) for row in HISTORY
    ]
    assert axes.get_title() == "after epoch 3: error 1.67 %, compression 10.0x"
    assert axes.get_xlabel() == "compression, weights / nonzero weights, log scale"


def test_a_run_that_collapsed_at_once() -> None:
    collapsed = {**HISTORY[0], "compression": float("inf")}
    axes, _ = plotting.draw_error_against_compression([collapsed]).axes
    assert axes.get_title() == ""

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


def test_curves() -> None:
    errors, losses, sparsities, weight = plotting.draw_curves(HISTORY).axes
    assert [list(line.get_ydata()) for line in errors.lines] == [
        [5, 2.5, 5 / 3],
        [10, 5, 10 / 3],
    ]
    assert [line.get_label() for line in losses.lines] == ["cross entropy, nats", "KL / N, nats"]
    assert list(losses.lines[1].get_ydata()) == [3, 1.5, 1]
    assert list(weight.lines[0].get_ydata()) == pytest.approx([1 / 3, 2 / 3, 1])
    assert [line.get_label() for line in sparsities.lines] == ["l1", "l2", "all layers"]
    assert list(sparsities.lines[2].get_ydata()) == pytest.approx([30, 60, 90])
    assert (errors.get_yscale(), losses.get_yscale()) == ("log", "log")
    assert sparsities.get_xlabel() == "epoch"


@pytest.mark.parametrize("most", [0.0, 1.0, 14.0])
def test_the_kl_weight_is_seen_whole(most: float) -> None:
    history = [{**HISTORY[0], "kl_coef": 0.0}, {**HISTORY[1], "kl_coef": most}]
    *_, weight = plotting.draw_curves(history).axes
    assert weight.get_ylim() == (0, pytest.approx(1.05 * max(1, most)))


def test_curves_that_reach_zero() -> None:
    history = [*HISTORY, {**HISTORY[-1], "error": 0.0, "kl": 0.0}]
    errors, losses, *_ = plotting.draw_curves(history).axes
    assert (errors.get_yscale(), losses.get_yscale()) == ("linear", "linear")


def test_error_against_compression() -> None:
    collapsed = {**HISTORY[-1], "compression": float("inf"), "error": 90.0}
    axes, _ = plotting.draw_error_against_compression([*HISTORY, collapsed]).axes
    (points,) = axes.collections
    assert points.get_offsets().tolist() == [
        pytest.approx([row["compression"], row["error"]]) for row in HISTORY
    ]
    assert axes.get_title() == "after epoch 3: error 1.67 %, compression 10.0x"


def test_a_run_that_collapsed_at_once() -> None:
    collapsed = {**HISTORY[0], "compression": float("inf")}
    axes, _ = plotting.draw_error_against_compression([collapsed]).axes
    assert axes.get_title() == ""

import math
from typing import Any

import pytest

from vdprune.errors import ArgumentError
from vdprune.recipes.phase import Cut, Phase
from vdprune.recipes.schedule import Schedule

RAMP = Schedule(((5.0, 0.0), (20.0, 1.0)))


def test_a_cut_at_once() -> None:
    assert Cut(3.0, compression=200.0).steps() == [(3.0, 1 - 1 / 200)]
    assert Cut(3.0, threshold=1.0).steps() == [(3.0, None)]


def test_a_gradual_cut_grows_as_zhu_and_gupta_have_it() -> None:
    steps = Cut(10.0, by="magnitude", compression=100.0, until=20.0, times=5).steps()
    epochs, shares = zip(*steps, strict=True)
    assert epochs == pytest.approx([12, 14, 16, 18, 20])
    # s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (n Dt))^3 with s_i = 0
    assert shares == pytest.approx(
        [0.99 + (0 - 0.99) * (1 - t) ** 3 for t in (0.2, 0.4, 0.6, 0.8, 1)]
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "a compression or a threshold, one of the two"),
        ({"compression": 2.0, "threshold": 1.0}, "one of the two: it has both"),
        ({"compression": 0.5}, "compression is 0.5: it must be 1 or more"),
        ({"compression": math.inf}, "compression is inf"),
        ({"compression": math.nan}, "compression is nan"),
        ({"threshold": math.nan}, "threshold is nan"),
        ({"threshold": 1e31}, r"threshold is 1e\+31: it must be a log alpha between"),
        ({"threshold": 1.0, "by": "magnitude"}, r"by log-alpha \(it is by magnitude"),
        ({"threshold": 1.0, "until": 3.0}, "without until"),
        ({"compression": 2.0, "epoch": -1.0}, "epoch is -1: it must be 0 or more"),
        (
            {"compression": 2.0, "epoch": 2.0, "until": 2.0},
            "until is 2: it must be above the epoch .* 2;",
        ),
        ({"compression": 2.0, "times": 0}, "times is 0"),
        ({"compression": 2.0, "times": 10_001}, "times is 10001"),
        ({"compression": 2.0, "epoch": math.nan}, "epoch is nan"),
        ({"compression": 2.0, "until": math.nan}, "until is nan"),
    ],
)
def test_cuts_without_meaning_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Cut(**{"epoch": 0.0, **values})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        (
            {"learning_rate": Schedule(((0.0, -1.0),))},
            "learning_rate is -1.0: it must not be below",
        ),
        ({"kl_weight": Schedule(((0.0, 0.0), (1.0, -2.0)))}, "kl_weight is"),
        ({"noise": Schedule(((0.0, -1.0),))}, "noise is -1.0"),
        ({"temperature": Schedule(((0.0, -1.0),))}, "temperature is -1.0: it must be above 0"),
        ({"temperature": RAMP}, "temperature is .*: it must be above 0"),
        ({"kind": "dense", "kl_weight": RAMP}, "kl_weight is .* in a phase of kind dense"),
        ({"kind": "dense", "cuts": (Cut(0.0, compression=2.0),)}, "use fine-tune"),
        ({"kind": "fine-tune", "prior": "ard"}, "prior is ard in a phase of kind fine-tune"),
        ({"kind": "dense", "mask_variance": True}, "which has no noise"),
        (
            {"cuts": (Cut(30.0, compression=2.0),)},
            "cuts.0.epoch is 30, epochs is 30: a cut must be done",
        ),
        ({"cuts": (Cut(3.0, compression=2.0, until=31.0),)}, "cuts.0.until is 31, epochs is 30"),
    ],
)
def test_phases_without_meaning_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Phase(**{"name": "one", "epochs": 30, **values})


def test_everything_moves_along_with_the_epochs() -> None:
    cuts = (Cut(10.0, compression=2.0), Cut(12.0, compression=4.0, until=20.0))
    cooling = Schedule(((10.0, 3.0), (40.0, 1.0)))
    phase = Phase(
        "one", 40, learning_rate=RAMP, kl_weight=RAMP, noise=RAMP, cuts=cuts, temperature=cooling
    )
    half = phase.with_epochs(20)
    assert half.epochs == 20
    assert half.learning_rate == half.kl_weight == half.noise == RAMP.moved(0.5)
    assert half.temperature == Schedule(((5.0, 3.0), (20.0, 1.0)))
    assert Phase("one", 40).with_epochs(20).temperature is None
    assert [(cut.epoch, cut.until) for cut in half.cuts] == [(5, None), (6, 10)]


def test_settles_after_the_last_cut_and_the_growth_of_the_kl_weight() -> None:
    assert Phase("one", 40, kl_weight=RAMP).settled_from == 20
    cuts = (Cut(10.0, compression=2.0), Cut(12.0, compression=4.0, until=30.0))
    assert Phase("one", 40, kl_weight=RAMP, cuts=cuts).settled_from == 30
    assert Phase("one", 40, kind="dense").settled_from == 0


def test_tells_itself_in_words() -> None:
    cuts = (Cut(10.0, compression=2.0), Cut(12.0, by="magnitude", compression=4.0, until=20.0))
    phase = Phase("one", 40, kl_weight=RAMP, prior="ard", cuts=cuts)
    assert phase.describe() == (
        "one (variational): 40 epochs; learning rate 0.001; KL weight 0 until epoch 5, then linear to "
        "1 at epoch 20; prior ard; cut to 2x by log-alpha at epoch 10; cut to 4x by magnitude from "
        "epoch 12 to 20"
    )


def test_tells_its_temperature() -> None:
    phase = Phase("one", 3, kind="fine-tune", temperature=Schedule(((0.0, 3.0), (2.0, 1.0))))
    assert phase.describe() == (
        "one (fine-tune): 3 epochs; learning rate 0.001; temperature linear from 3 to 1 at epoch 2"
    )
    assert phase.list_unreached() == []
    cooling = Schedule(((0.0, 3.0), (8.0, 1.0)))
    assert (
        "temperature has a point at epoch 8"
        in Phase("a", 3, temperature=cooling).list_unreached()[0]
    )


def test_points_after_the_end_are_told_of() -> None:
    phase = Phase("one", 20, kl_weight=RAMP, noise=Schedule(((0.0, 1.0), (30.0, 0.0))))
    assert phase.list_unreached() == [
        "one.noise has a point at epoch 30, which is not reached: the phase has 20 epochs, and the last "
        "value is 0.3667"
    ]


def test_no_point_falls_behind_the_end_by_moving() -> None:
    phase = Phase("one", 49, learning_rate=Schedule(((0.0, 0.001), (49.0, 0.0))))
    assert not any(phase.with_epochs(epochs).list_unreached() for epochs in range(1, 200))


def test_of_many_cuts_the_first_and_the_last_are_told() -> None:
    cuts = tuple(Cut(float(epoch), compression=2.0 + epoch) for epoch in range(9))
    words = Phase("rounds", 30, cuts=cuts).describe()
    assert (
        "; 9 cuts; first cut to 2x by log-alpha at epoch 0; last cut to 10x by log-alpha at epoch 8"
    ) in words
    assert words.count("cut to") == 2

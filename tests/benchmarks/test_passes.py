from dataclasses import replace

from benchmarks.networks import NETWORKS, Layer
from benchmarks.passes import time_passes

SMALL = replace(NETWORKS["lenet300"], layers=(Layer(5, 3, relu=True), Layer(3, 2)))


def test_each_pass_is_timed() -> None:
    found = time_passes(SMALL, rounds=2)
    assert len(found) == 7
    assert {"noise", "products forward", "Adam"} < set(found)
    assert all(0 < ms < 1000 for ms in found.values())


def test_convolutions_have_other_passes() -> None:
    assert time_passes(replace(SMALL, layers=(Layer(1, 2, kernel=3),)), rounds=1) == {}

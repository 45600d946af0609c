import numpy
import pytest
from numpy.random import RandomState
from scipy.special import log_softmax

from vdprune.archs import build_arch
from vdprune.training.ensemble import Ensemble
from vdprune.training.teacher_logits import compute_logits, teacher_sha256


@pytest.fixture
def networks() -> list:
    numpy.random.seed(3)
    return [build_arch("lenet300", input_shape=(6,), classes=4, theta_std=1.0) for _ in range(3)]


def test_the_mean_of_log_probabilities(networks: list) -> None:
    x = RandomState(0).normal(0, 2, (50, 6)).astype("f4")
    expected = numpy.mean([log_softmax(compute_logits(n, x), axis=1) for n in networks], axis=0)
    found = compute_logits(Ensemble(networks), x)
    assert found.shape == (50, 4)
    numpy.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_each_of_them_tells_ensembles_apart(networks: list) -> None:
    known = {teacher_sha256(Ensemble(networks[:2])), teacher_sha256(Ensemble(networks[1:]))}
    known |= {teacher_sha256(Ensemble(networks)), teacher_sha256(networks[0])}
    assert len(known) == 4
    assert teacher_sha256(Ensemble(networks)) in known

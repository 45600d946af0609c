import sys

import numpy
import pytest

from tests.export.test_onnx import make_residual
from vdprune.errors import ArgumentError
from vdprune.export.collecting import collect_chain
from vdprune.export.onnx_session import make_onnx_session
from vdprune.runtime import make_network


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("threads", [1, 2])
def test_onnxruntime_computes_what_the_runtime_does(threads: int) -> None:
    pytest.importorskip("onnxruntime", reason="runs ONNX files")
    weights = collect_chain(make_residual(), (2, 8, 8))
    run, network = make_onnx_session(weights, threads), make_network(weights, 1)
    for batch in (1, 5):
        x = numpy.random.uniform(0, 1, (batch, 2, 8, 8)).astype("f4")
        numpy.testing.assert_allclose(run(x), network.logits(x), rtol=1e-4, atol=1e-5)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = collect_chain(make_residual(), (2, 8, 8))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ArgumentError, match="-m pip install onnx onnxruntime$"):
        make_onnx_session(weights, 1)

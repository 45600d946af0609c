"""C source, compiled and run."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import chainer
import numpy
import pytest

from tests.export.test_tracing import Residual
from tests.formats.test_compacting import ACTIVATIONS, make_weights
from tests.runtime.reference import evaluate_graph
from tests.runtime.test_steps import (
    convolution,
    linear,
    make_arrays,
    make_graph,
    node,
    normalisation,
)
from tests.test_checkpoint import INPUT_SHAPES, make_checkpoint
from vdprune.conversion import to_variational_dropout
from vdprune.errors import ArgumentError, FileWriteError
from vdprune.export.c import write_c
from vdprune.export.collecting import collect_chain, collect_checkpoint
from vdprune.formats import Weights
from vdprune.formats.compacting import compact_weights
from vdprune.runtime import make_network

compiled = pytest.mark.skipif(
    shutil.which("gcc") is None, reason="gcc is not installed: C source can't be compiled"
)
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2"]
MAIN = """\
#include <stdio.h>
#include "net.h"
int main(void)
{
    static float x[NET_INPUTS], y[NET_OUTPUTS + 2], work[NET_WORK_SIZE + 2];
    const float zero = 0;
    while (fread(x, sizeof *x, NET_INPUTS, stdin) == NET_INPUTS) {
        for (int i = 0; i < NET_WORK_SIZE + 2; i++) /* what is not written must not be read */
            work[i] = i % (NET_WORK_SIZE + 1) ? zero / zero : 42;
        y[0] = y[NET_OUTPUTS + 1] = 42;
        net_predict(x, y + 1, work + 1);
        if (work[0] != 42 || work[NET_WORK_SIZE + 1] != 42 || y[0] != 42 || y[NET_OUTPUTS + 1] != 42)
            return 3;
        y[0] = (float)net_classify(x, work + 1);
        fwrite(y, sizeof *y, NET_OUTPUTS + 1, stdout);
    }
    return 0;
}
"""


def run_c(folder: Path, weights: Weights, x: Any, *libraries: str) -> tuple[Any, Any]:
    """Write a network, compile it, run it; outputs and classes."""
    written = write_c(folder / "net.c", weights)
    assert written == [folder / "net.c", folder / "net.h"]
    (folder / "main.c").write_text(MAIN)
    command = ["gcc", *FLAGS, "net.c", "main.c", "-o", "net", *libraries]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    examples = numpy.asarray(x, numpy.float32).tobytes()
    result = subprocess.run([folder / "net"], input=examples, capture_output=True)
    assert result.returncode == 0, "memory is written that the caller has not given"
    found = numpy.frombuffer(result.stdout, numpy.float32).reshape(len(x), -1)
    return found[:, 1:], found[:, 0]


def assert_right(folder: Path, graph: Any, arrays: Any) -> str:
    x = numpy.random.default_rng(1).standard_normal((3, *graph.input_shape)).astype("f4")
    expected = evaluate_graph(graph, arrays, x).reshape(3, -1)
    y, _ = run_c(folder, make_weights(graph, arrays), x, "-lm")
    numpy.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    return (folder / "net.c").read_text()


def make_residual() -> Weights:
    model = Residual()
    with chainer.using_config("train", False):
        model(numpy.zeros((1, 2, 8, 8), "f"))
    to_variational_dropout(model)
    model.l.log_sigma2.array[:3] = 20  # masked
    return collect_chain(model, (2, 8, 8))


@compiled
@pytest.mark.parametrize("change", [lambda weights: weights, compact_weights])
@pytest.mark.parametrize("name", [*INPUT_SHAPES, "residual"])
def test_networks(tmp_path: Path, name: str, change: Any) -> None:
    is_residual = name == "residual"
    weights = change(make_residual() if is_residual else collect_checkpoint(make_checkpoint(name)))
    shape = (20, *weights.graph.input_shape)
    x = numpy.random.default_rng(0).integers(0, 2 if is_residual else 256, shape)
    network = make_network(weights, threads=1)
    expected = network.logits(x)
    # without an activation that needs it, C's library of mathematics is not there
    y, classes = run_c(tmp_path, weights, x, *(["-lm"] if is_residual else []))
    numpy.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5 * abs(expected).max())
    numpy.testing.assert_array_equal(classes, network.predict(x))
    assert is_residual or len(set(classes)) > 1


@compiled
def test_all_operations(tmp_path: Path) -> None:
    """In odd shapes, beyond borders, with gaps."""
    scaling = {"scale": ["s/scale", []], "mean": ["s/mean", [2, 9, 8]]}
    windows = {"ksize": [3, 2], "stride": [2, 1], "pad": [1, 1]}
    nodes = [
        node("scaling", 0, arrays=scaling),
        normalisation(1, channels=2),
        convolution([4, 2, 3, 2], 2, stride=[2, 3], pad=[3, 1], dilate=[2, 2], name="a"),
        convolution([6, 2, 2, 1], 3, groups=2, pad=[0, 2], name="b"),
        node("max_pooling_2d", 4, **windows, cover_all=True),
        node("average_pooling_2d", 4, **windows),
        *(node(name, 6, **attributes) for name, attributes in ACTIVATIONS.items()),
        node("add", *range(6, 13)),
        node("concatenate", 13, 5, 13, 6),
    ]
    graph = make_graph([2, 9, 8], *nodes)
    arrays = make_arrays(graph)
    source = assert_right(tmp_path, graph, arrays)
    for name in (*(f"apply_{name}" for name in ACTIVATIONS), "affine", "scaling", "add"):
        assert f" {name}(" in source
    assert_right(tmp_path, make_graph([2, 9, 8], *nodes[:-1]), arrays)


@compiled
def test_the_smallest_index_type_that_fits(tmp_path: Path) -> None:
    for inputs, kind in ((256, "uint8"), (257, "uint16"), (65536, "uint16"), (65537, "uint32")):
        graph = make_graph([inputs], linear([3, inputs], 0))
        arrays = make_arrays(graph, density=0)
        arrays["l/W"][1, [0, -1]] = 1, 2
        assert f"linear_{kind}(x, y, 3" in assert_right(tmp_path, graph, arrays)
    arrays["l/W"][:] = 0
    assert "weights1[1]" in assert_right(tmp_path, graph, arrays)
    full = make_graph([256], linear([1, 256], 0))
    assert "uint16" in assert_right(tmp_path, full, make_arrays(full, density=1))


@compiled
def test_nan_stays(tmp_path: Path) -> None:
    pooling = {"ksize": [2, 2], "stride": [2, 2], "pad": [0, 0]}
    graph = make_graph(
        [1, 2, 4],
        node("max_pooling_2d", 0, **pooling, cover_all=False),
        *(node(name, 1, **attributes) for name, attributes in ACTIVATIONS.items()),
        node("concatenate", *range(1, 8)),
    )
    x = numpy.ones((8, 1, 2, 4), numpy.float32)
    numpy.fill_diagonal(x.reshape(8, 8), numpy.nan)
    y, _ = run_c(tmp_path, make_weights(graph, {}), x, "-lm")
    assert (numpy.isnan(y.reshape(8, 7, 2)).sum(axis=2) == 1).all()


@compiled
def test_softmax_of_large_numbers(tmp_path: Path) -> None:
    graph = make_graph([3], linear([4, 3], 0), node("softmax", 1))
    arrays = make_arrays(graph, density=1)
    arrays["l/W"] *= 500
    assert_right(tmp_path, graph, arrays)


def test_room_is_used_again(tmp_path: Path) -> None:
    graph = make_graph([50], *(linear([50, 50], i, name=f"l{i}") for i in range(20)))
    write_c(tmp_path / "net.c", make_weights(graph, make_arrays(graph)))
    assert "#define NET_WORK_SIZE 100\n" in (tmp_path / "net.h").read_text()
    write_c(tmp_path / "net.c", collect_checkpoint(make_checkpoint("lenet300")))
    header = (tmp_path / "net.h").read_text()
    assert "#define NET_WORK_SIZE 400\n" in header, "the two layers within; inputs are not copied"
    alone = make_graph([2], linear([2, 2], 0))
    write_c(tmp_path / "net.c", make_weights(alone, make_arrays(alone)))
    assert "#define NET_WORK_SIZE 1\n" in (tmp_path / "net.h").read_text(), "no array is empty"


def test_the_header_says_what_numbers_are_wanted(tmp_path: Path) -> None:
    write_c(tmp_path / "net.c", collect_checkpoint(make_checkpoint("lenet300")))
    assert "pixels of 0 to 255 where those were bytes; they are scaled in" in read_header(tmp_path)
    alone = make_graph([2], linear([2, 2], 0))
    write_c(tmp_path / "net.c", make_weights(alone, make_arrays(alone)))
    assert "trained on; nothing is scaled in here" in read_header(tmp_path)


def read_header(folder: Path) -> str:
    """The header as one line."""
    return " ".join((folder / "net.h").read_text().replace("\n *", "").split())


def test_names(tmp_path: Path) -> None:
    weights = collect_checkpoint(make_checkpoint("lenet300"))
    write_c(tmp_path / "my-net.v2.c", weights)
    header = (tmp_path / "my-net.v2.h").read_text()
    assert "void my_net_v2_predict(const float *x, float *y, float *work);" in header
    assert "#define MY_NET_V2_OUTPUTS 3\n" in header
    for name in ("net.h", "net", "2.c", "na me.c", 'a".c', "é.c"):
        with pytest.raises(ArgumentError, match="letters, digits"):
            write_c(tmp_path / name, weights)


def test_the_same_network_makes_the_same_bytes(tmp_path: Path) -> None:
    texts = set()
    for _ in range(2):
        files = write_c(tmp_path / "net.c", collect_checkpoint(make_checkpoint("lenet5")))
        texts.add("".join(file.read_text() for file in files))
    assert len(texts) == 1


@pytest.mark.parametrize("name", ["net.c", "net.h"])
def test_files_of_others_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("int main(void) { return 0; }\n")
    with pytest.raises(FileWriteError, match="was not written by"):
        write_c(tmp_path / "net.c", collect_checkpoint(make_checkpoint("lenet300")))
    assert [path.name for path in tmp_path.iterdir()] == [name]


@compiled
def test_names_from_a_file_stay_in_their_comments(tmp_path: Path) -> None:
    graph = make_graph([2], linear([2, 2], 0, name="*/ #error /* ??/\n\\"))
    weights = make_weights(graph, make_arrays(graph))
    weights.header["arch"] = "*/ #error /*\n#error"
    run_c(tmp_path, weights, numpy.zeros((1, 2)))


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf])
def test_what_c_can_not_write_is_refused(tmp_path: Path, value: float) -> None:
    graph = make_graph([2], linear([2, 2], 0))
    arrays = make_arrays(graph)
    arrays["l/b"][0] = value
    with pytest.raises(ArgumentError, match="infinite or none"):
        write_c(tmp_path / "net.c", make_weights(graph, arrays))
    wide = make_graph([1, 2, 2], convolution([1, 1, 1, 1], 0, stride=[2**28, 1]))
    with pytest.raises(ArgumentError, match="less than 268,435,456"):
        write_c(tmp_path / "net.c", make_weights(wide, make_arrays(wide)))
    assert list(tmp_path.iterdir()) == []

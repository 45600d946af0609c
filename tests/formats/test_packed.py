import math
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.reference import evaluate_graph
from tests.runtime.test_steps import convolution, linear, make_arrays, make_graph, node
from vdprune.errors import ArgumentError, FileFormatError
from vdprune.formats import Weights, packed, packed_coding, save_weights
from vdprune.formats.packed import PACKED, VERSION, pack_weights, read_packed, write_packed
from vdprune.formats.packed_folding import fold_weights
from vdprune.formats.packed_header import deflate_header, inflate_header

few = settings(max_examples=20, deadline=None, derandomize=True)
Spoil = Callable[[dict[str, Any]], Any]
# version 1 of the format, as it was at the start
GOLDEN = (
    "7664706b018367bd5ca01d18d90e250761641e132c9903291b81f20e22af40522b348bc0ba74d024"
    "6ca8036c04c6e2ce3a2638330d66c81810db2034d6414a629014060d130084db95c006a8739e32dc"
    "e0cd7dc813abe019749d896eead554d5"
)
SCALING = {"scale": ["s/scale", []], "mean": ["s/mean", [1, 5, 5]]}


def make_weights(
    graph: Any = None, density: float = 0.3, values: int = 9, seed: int = 0
) -> Weights:
    """Make a network whose arrays have few distinct values each."""
    graph = graph or make_graph(
        [1, 5, 5],
        node("scaling", 0, arrays=SCALING),
        convolution([4, 1, 3, 3], 1),
        node("relu", 2),
        node("reshape", 3, shape=[36]),
        linear([7, 36], 4, name="l1"),
        linear([3, 7], 5, name="l2"),
    )
    random = numpy.random.default_rng(seed)
    arrays = {
        path: random.standard_normal(values).astype("f4")[random.integers(0, values, array.shape)]
        * (array != 0)
        for path, array in make_arrays(graph, density, seed).items()
    }
    layers = [path.removesuffix("/W") for path in arrays if path.endswith("W")]
    header = {
        "arch": "mine",
        "arch_kwargs": {},
        "dataset": "",
        "input_shape": list(graph.input_shape),
        "threshold": 3.0,
        "layers": layers,
    }
    weights = {path: array for path, array in arrays.items() if path.endswith("W")}
    others = {path: numpy.asarray(array) for path, array in arrays.items() if path not in weights}
    return Weights(header, graph, weights, others)


def assert_same(found: Weights, expected: Weights) -> None:
    assert found.header == {**expected.header, "encoding": "packed"}
    assert found.graph == expected.graph
    for mine, other in ((found.weights, expected.weights), (found.others, expected.others)):
        assert set(mine) == set(other)
        for path, array in mine.items():
            assert (array.dtype, array.shape) == (other[path].dtype, other[path].shape)
            assert array.tobytes() == other[path].tobytes(), path


def round_trip(path: Path, weights: Weights) -> None:
    path.write_bytes(pack_weights(weights))  # write_packed waits for the disk
    assert_same(read_packed(path), weights)


@few
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.floats(0, 1),
    st.integers(1, 40),
    st.integers(0, 99),
)
def test_round_trips(
    tmp_path_factory: Any, sizes: list[int], density: float, values: int, seed: int
) -> None:
    layers = [
        linear([out, into], place, name=f"l{place}")
        for place, (into, out) in enumerate(zip([30, *sizes], sizes, strict=False))
    ]
    weights = make_weights(make_graph([30], *layers), density, values, seed)
    round_trip(tmp_path_factory.getbasetemp() / "weights.packed", weights)


@pytest.mark.parametrize("density", [0, 0.05, 1])
def test_round_trips_of_convolutions(tmp_path: Path, density: float) -> None:
    round_trip(tmp_path / "weights.packed", make_weights(density=density))


@few
@given(st.data())
@pytest.mark.parametrize("dtype", packed._DTYPES)
def test_any_number_is_kept_bit_for_bit(tmp_path_factory: Any, dtype: str, data: Any) -> None:
    weights = make_weights()
    size = numpy.dtype(dtype).itemsize
    count = 8 if dtype != "b1" else 1
    numbers = st.integers(0, 2 ** (8 * size) - 1) if dtype != "b1" else st.just(1)
    bits = data.draw(st.lists(numbers, min_size=count, max_size=count))
    array = numpy.array(bits, f"u{size}").view(dtype)
    shape = data.draw(st.sampled_from([(count,), (count, 1), (1, 1, count), (0, 3)]))
    weights.others["more"] = array[: math.prod(shape)].reshape(shape)
    weights.others["one"] = array[0].reshape(())
    round_trip(tmp_path_factory.getbasetemp() / "weights.packed", weights)


def test_smooth_images_take_less_than_noise() -> None:
    smooth, noise = make_weights(), make_weights()
    row = numpy.arange(30) // 4
    for weights, mean in ((smooth, row[:, None] + row), (noise, row[:, None] * row * 7 % 15)):
        weights.others["mean"] = mean.astype("f4")[None] / 16
    random = numpy.random.default_rng(0)
    random.shuffle(noise.others["mean"].reshape(-1))
    assert len(pack_weights(smooth)) < len(pack_weights(noise)) - 200


def test_256_values_fit_and_257_do_not(tmp_path: Path) -> None:
    weights = make_weights()
    weights.others["more"] = numpy.arange(257, dtype="f4")
    round_trip(tmp_path / "weights.packed", weights)
    weights.others["more"] = numpy.arange(258, dtype="f4").reshape(2, 129)
    with pytest.raises(ArgumentError, match="more has 257 distinct values.*up to 256.*quantise"):
        pack_weights(weights)
    weights.others["more"] = numpy.zeros(3, complex)
    with pytest.raises(ArgumentError, match="more is an array of complex128"):
        pack_weights(weights)


class PlainDecoder:
    """The range decoder as docs/packed.md has it, in whole numbers alone."""

    def __init__(self, data: bytes) -> None:
        self.data, self.lower, self.range = data, 0, 2**64 - 1
        self.point = self.take() << 32 | self.take()

    def take(self) -> int:
        word, self.data = self.data[:4], self.data[4:]
        return int.from_bytes(word + bytes(4 - len(word)), "big")

    def decode(self, frequencies: Any) -> int:
        scale = self.range >> 24
        place, symbol = (self.point - self.lower) % 2**64 // scale, 0
        while place >= frequencies[symbol]:
            place -= frequencies[symbol]
            self.lower += scale * frequencies[symbol]
            symbol += 1
        self.range = scale * frequencies[symbol]
        if self.range < 2**32:
            self.lower, self.range = self.lower << 32, self.range << 32
            self.point = self.point << 32 | self.take()
        self.lower, self.point = self.lower % 2**64, self.point % 2**64
        return symbol

    def code(self, values: Any, count: int, frequencies: Any) -> Any:
        return numpy.array([self.decode(frequencies.tolist()) for _ in range(count)])

    def code_evenly(self, values: Any, sizes: Any) -> Any:
        return numpy.array([self.decode([2**24 // n] * n) for n in sizes.tolist()])


def test_the_format_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.packed"
    weights = make_weights()
    weights.others["more"] = numpy.float64([1e-300, 3, math.nan, -0.0])
    write_packed(path, weights)
    monkeypatch.setattr(packed, "Decoder", PlainDecoder)
    monkeypatch.setattr(packed_coding, "load_constriction", None)
    assert_same(read_packed(path), weights)


def make_golden() -> Weights:
    weights = make_weights(make_graph([4], linear([3, 4], 0)))
    weights.weights["l/W"][:] = [[0, 0.5, 0, -2], [0, 0, 0, 0], [1.25, 0.5, 0, 0]]
    weights.others["l/b"][:] = [1, 0, -0.0]
    weights.others["mean"] = numpy.arange(24).reshape(1, 4, 6) // 3 / numpy.float64(8)
    return weights


def test_old_files_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.packed"
    path.write_bytes(bytes.fromhex(GOLDEN))
    assert_same(read_packed(path), make_golden())
    round_trip(path, make_golden())


def test_frequencies_are_whole_numbers() -> None:
    for counts in ([1, 1, 1], [1, 2**50, 3], list(range(1, 257))):
        found = packed_coding._frequencies(numpy.array(counts, numpy.int64))
        assert found.min() >= 1
        assert found.sum() == 2**24


def refuse(path: Path, match: str = "") -> None:
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=f"{path.name}.*{match}"):
            read_packed(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30e6, f"{peak / 1e6:.0f} MB were allocated"


def test_each_damage_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "weights.packed"
    good = pack_weights(make_weights(make_graph([4], linear([2, 4], 0))))
    for place in range(len(good)):
        path.write_bytes(good[:place])
        with pytest.raises(FileFormatError):
            read_packed(path)
        for flip in (1, 128, 255):
            path.write_bytes(good[:place] + bytes([good[place] ^ flip]) + good[place + 1 :])
            with pytest.raises(FileFormatError):
                read_packed(path)
    path.write_bytes(good + b"\0")
    refuse(path, "checksum does not match")


def write_forged(path: Path, header: Any, rest: bytes, version: int = VERSION) -> None:
    """Write a file whose checksum is right, whatever it holds."""
    data = PACKED + bytes([version]) + deflate_header(header) + rest
    path.write_bytes(data + zlib.crc32(data).to_bytes(4, "little"))


def forge(path: Path, spoil: Spoil) -> None:
    header, rest = inflate_header(pack_weights(make_weights())[5:-4])
    spoiled = spoil(header)
    write_forged(path, header if spoiled is None else spoiled, rest)


def put(**fields: Any) -> Spoil:
    return lambda header: header.update(fields)


def drop(name: str) -> Spoil:
    def spoil(header: dict[str, Any]) -> None:
        del header[name]

    return spoil


def resize(shape: list[int], classes: int) -> Spoil:
    def spoil(header: dict[str, Any]) -> None:
        header["graph"]["nodes"][-1]["arrays"]["W"][1] = shape
        header["graph"]["nodes"][-1]["arrays"]["b"][1] = [classes]

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda header: [1, 2], id="header a list"),
        pytest.param(lambda header: "text", id="header a text"),
        *(
            pytest.param(drop(name), id=f"no {name}")
            for name in ("arch", "arch_kwargs", "dataset", "input_shape", "threshold", "layers")
        ),
        pytest.param(drop("graph"), id="no graph"),
        pytest.param(put(graph=[]), id="graph a list"),
        pytest.param(put(layers=["l9"]), id="a layer that is not there"),
        pytest.param(put(layers=5), id="layers a number"),
        pytest.param(put(layers=[["l1"]]), id="layers of lists"),
        pytest.param(put(input_shape=[1, 5, 6]), id="two input shapes"),
        pytest.param(put(arch=7), id="arch a number"),
        pytest.param(put(more={"x": [10**6, 10**6]}), id="huge"),
        pytest.param(put(more={"x": [10**9, 10**9, 0], "y": [2**27]}), id="huge beside empty"),
        pytest.param(put(more={"x": [-3, -3]}), id="negative"),
        pytest.param(put(more={"x": "3"}), id="shape a text"),
        pytest.param(put(more={"x": [10**4000] * 1500}), id="a product that takes for ever"),
        pytest.param(put(more=["x"]), id="more a list"),
        pytest.param(put(more={"l1/b": [8]}), id="a bias too long"),
        pytest.param(put(more={"l1/W": [6, 42]}), id="weights of another shape"),
        pytest.param(put(dtypes={"l1/b": "O"}), id="objects"),
        pytest.param(put(dtypes={"l1/b": ["f4"]}), id="dtype a list"),
        pytest.param(put(dtypes={"l1/b": "U9"}), id="texts"),
        pytest.param(put(dtypes=3), id="dtypes a number"),
        pytest.param(resize([2**26, 7], 2**26), id="huge weights"),
        pytest.param(resize([3, 8], 3), id="weights do not fit"),
    ],
)
def test_forged_headers_are_refused(tmp_path: Path, spoil: Spoil) -> None:
    path = tmp_path / "weights.packed"
    forge(path, spoil)
    refuse(path)


@pytest.mark.parametrize("seed", range(40))
def test_forged_numbers_end_in_an_error_or_in_numbers(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "weights.packed"
    header, _ = inflate_header(pack_weights(make_weights())[5:-4])
    rest = numpy.random.default_rng(seed).bytes(8 * seed)
    write_forged(path, header, b"\xff" * (seed % 5) + rest)
    try:
        found = read_packed(path)
    except FileFormatError:
        return
    assert {path: array.shape for path, array in found.weights.items()} == {
        path: found.graph.arrays[path] for path in found.weights
    }


def test_headers_that_can_not_be_inflated(tmp_path: Path) -> None:
    path = tmp_path / "weights.packed"
    for body in (b"", b"\xff" * 50, deflate_header({"arch": "x"})[:-3]):
        data = PACKED + bytes([VERSION]) + body
        path.write_bytes(data + zlib.crc32(data).to_bytes(4, "little"))
        refuse(path, "header")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    save_weights(path, make_weights())
    refuse(path, "not a packed file")
    with pytest.raises(FileFormatError, match=r"^there is no file '.*none\.packed'$"):
        read_packed(tmp_path / "none.packed")
    write_forged(path, {}, b"", VERSION + 1)
    refuse(path, f"version {VERSION + 1}, this vdprune .* reads version {VERSION}")


def test_without_constriction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.packed"
    weights = make_weights()
    write_packed(path, weights)
    monkeypatch.setitem(sys.modules, "constriction", None)
    for use in (lambda: read_packed(path), lambda: write_packed(path, weights)):
        with pytest.raises(ArgumentError, match=r"constriction .*pip install constriction"):
            use()


def assert_same_results(weights: Weights, folded: Weights) -> None:
    x = numpy.random.default_rng(1).standard_normal((4, *weights.graph.input_shape))
    results = [
        evaluate_graph(network.graph, {**network.weights, **network.others}, x)
        for network in (weights, folded)
    ]
    numpy.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)


def test_scaling_goes_into_a_linear_layer() -> None:
    first = node("scaling", 0, arrays=SCALING)
    layers = (first, node("reshape", 1, shape=[25]), linear([6, 25], 2), node("relu", 3))
    weights = make_weights(make_graph([1, 5, 5], *layers, linear([2, 6], 4, name="last")))
    folded = fold_weights(weights)
    assert [step.operation for step in folded.graph.nodes] == [
        "reshape",
        "linear",
        "relu",
        "linear",
    ]
    assert set(folded.others) == {"l/b", "last/b"}
    assert_same_results(weights, folded)
    without = linear([6, 25], 2)
    del without["arrays"]["b"]
    weights = make_weights(make_graph([1, 5, 5], *layers[:2], without))
    assert_same_results(weights, fold_weights(weights))
    read_twice = make_weights(make_graph([1, 5, 5], first, node("add", 1, 1)))
    assert fold_weights(read_twice).graph == read_twice.graph
    assert fold_weights(make_weights()).graph == make_weights().graph  # a convolution's


def test_statistics_go_into_gamma_and_beta() -> None:
    arrays = {role: [f"n/{role}", [3]] for role in ("gamma", "beta", "mean", "var")}
    step = node("batch_normalization", 1, arrays=arrays, eps=1e-3)
    weights = make_weights(make_graph([4], linear([3, 4], 0), step))
    weights.others["n/var"][:] = 0.5, 2, 7
    folded = fold_weights(weights)
    assert len(numpy.unique(folded.others["n/var"])) == 1
    assert not folded.others["n/mean"].any()
    assert_same_results(weights, folded)


def test_biases_that_nobody_reads_become_zero() -> None:
    weights = make_weights()
    weights.weights["l1/W"][:, :9] = 0  # of the first filter
    weights.weights["l2/W"][:, 3] = 0
    weights.weights["l2/W"][:, [0, 1, 2, 4, 5, 6]] = 1
    weights.weights["l1/W"][:, 9:] = 1
    folded = fold_weights(weights)
    assert (folded.others["c/b"] != 0).tolist() == [False, True, True, True]
    assert numpy.flatnonzero(folded.others["l1/b"] == 0).tolist() == [3]
    assert folded.others["l2/b"].tolist() == weights.others["l2/b"].tolist()
    assert_same_results(weights, folded)

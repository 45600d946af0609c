"""The stand-in for CuPy computes what NumPy does, and counts what it is asked to do."""

from pathlib import Path

import numpy
import pytest

cupy = pytest.importorskip("cupy")
if not hasattr(cupy, "_settings"):
    pytest.skip("this is CuPy, not its stand-in", allow_module_level=True)

from cupy._settings import thread_order  # noqa: E402
from cupy._statistics import counting  # noqa: E402
from cupy.cuda.memory import OutOfMemoryError  # noqa: E402
from cupy.cuda.runtime import CUDARuntimeError  # noqa: E402

from tests.stand_in_kernels import SCALE, SQUARES, flip, flipped  # noqa: E402


@pytest.fixture
def x() -> numpy.ndarray:
    return numpy.random.randn(5, 7)


# ---------------------------------------------------------------- what is right


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffle"])
def test_right_kernels_agree_with_numpy(x: numpy.ndarray, order: str) -> None:
    on_gpu = cupy.asarray(x)
    with thread_order(order):
        numpy.testing.assert_allclose(SCALE(on_gpu, 3.0).get(), 3 * numpy.exp(x), rtol=1e-15)
        for axis in (None, 0, 1):
            found = SQUARES(on_gpu, axis=axis).get()
            numpy.testing.assert_allclose(found, (x * x).sum(axis), rtol=1e-14)
        numpy.testing.assert_array_equal(flip(64), flipped(64))


def test_kernels_take_views_broadcasts_and_raw_arrays(x: numpy.ndarray) -> None:
    add = cupy.ElementwiseKernel(
        "T x, raw T table, int32 n",
        "T y",
        "const ptrdiff_t at[] = {_ind.get()[1], 0}; y = x + twice(table[at]) + table.size() + n",
        "add",
        preamble="template <class V> __device__ V twice(V v) { return 2 * v; }",
        reduce_dims=False,
    )
    table = cupy.asarray(x).T
    found = add(cupy.asarray(x)[::2], table, 4).get()
    numpy.testing.assert_allclose(found, x[::2] + 2 * x[0] + x.size + 4)


def test_operators_and_functions_agree_with_numpy(x: numpy.ndarray) -> None:
    on_gpu, y = cupy.asarray(x), cupy.asarray(x)
    y *= 2
    y[1:, 0] = on_gpu[0, 0]
    expected = 2 * x
    expected[1:, 0] = x[0, 0]
    numpy.testing.assert_array_equal((1 - y @ on_gpu.T).get(), 1 - expected @ x.T)
    found = cupy.tensordot(on_gpu, y, ((0,), (0,))).get()
    numpy.testing.assert_allclose(found, numpy.tensordot(x, expected, ((0,), (0,))), atol=1e-14)
    numpy.testing.assert_array_equal(numpy.exp(on_gpu).get(), numpy.exp(x))  # NumPy asks CuPy
    assert (on_gpu > numpy.float64(0)).sum().item() == (x > 0).sum()
    assert on_gpu[0, 0].shape == () and on_gpu[0].base is on_gpu
    assert float(on_gpu.var()) == x.var()


def test_random_numbers_repeat_and_are_not_numpys() -> None:
    def draw() -> numpy.ndarray:
        cupy.random.seed(5)
        return cupy.random.standard_normal((3,)).get()

    numpy.random.seed(5)
    assert (draw() == draw()).all()
    assert (draw() != numpy.random.standard_normal(3)).all()


# ---------------------------------------------------------------- the machine


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cupy.cuda.runtime.getDeviceCount() == 2
    monkeypatch.setenv("STAND_IN_DRIVER", "none")
    with pytest.raises(CUDARuntimeError, match="cudaErrorInsufficientDriver: CUDA driver version"):
        cupy.cuda.runtime.getDeviceCount()
    assert not cupy.is_available()


def test_number_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_DEVICES", "3")
    with cupy.cuda.Device(2):
        assert cupy.ones(3).device == cupy.cuda.Device(2)
    assert cupy.cuda.runtime.getDevice() == 0


def test_memory_runs_out_and_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    in_use = cupy.get_default_memory_pool().used_bytes()
    monkeypatch.setenv("STAND_IN_MEMORY", str(in_use + 2000))
    for _ in range(3):
        array = cupy.empty(128)
        view = array[1:]
        with pytest.raises(OutOfMemoryError, match=r"Out of memory allocating 1,024 bytes \(allo"):
            cupy.empty(128)
        del array
        assert cupy.get_default_memory_pool().used_bytes() == in_use + 1024
        del view


def test_gpu_vanishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_VANISH_AFTER", "2")
    array = cupy.ones(3) + 1
    for _ in range(2):
        with pytest.raises(CUDARuntimeError, match="cudaErrorLaunchFailure"):
            array + 1


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    cupy._compile._get_compiler_version.cache_clear()
    cupy._compile._prepare_headers.cache_clear()
    with pytest.raises(RuntimeError, match=r"need a C\+\+ compiler named g\+\+"):
        cupy.ElementwiseKernel("T x", "T y", "y = x", "copies")(cupy.ones(3))


# ---------------------------------------------------------------- counts


def test_launches_are_counted() -> None:
    x = cupy.asarray(numpy.ones((4, 5000)))
    with counting() as counts:
        y = (x + 1).reshape(-1)[::2]  # one, and views
        y.sum()  # two passes
        x.sum(axis=0)
        SCALE(x, 2.0)
        SQUARES(x)
        cupy.zeros((2, 2))
        x[x[:, 0] > 0]  # the comparison, and the selection
        y.astype("f"), y.copy()
        flip(64)
    expected = {"add": 1, "sum": 3, "scale": 1, "squares": 2, "fill": 1, "greater": 1, "take": 1}
    expected |= {"astype": 1, "copy": 1, "flip": 1, "arange": 1}
    assert counts.launches == expected
    assert counts.total_launches == sum(expected.values())


def test_products_are_counted_with_their_copies() -> None:
    x, many = cupy.ones((3, 4)), cupy.ones((2, 3, 4))
    with counting() as counts:
        x @ x.T
        many.transpose(0, 2, 1) @ many
        cupy.tensordot(many, x, ((1, 2), (0, 1)))
    assert counts.launches == {"dot": 2, "matmul": 1, "copy": 1}
    with counting() as counts:
        x[0] @ x[0]  # no GEMM
    assert counts.launches == {"multiply": 1, "sum": 1}


def test_transfers_waiting_and_bytes_are_counted() -> None:
    with counting() as counts:
        x = cupy.asarray(numpy.ones(10))
        y = x * 2
        with counting() as inner:
            float(y[0]), y.get(), bool(y.all()), cupy.asnumpy(y), y[1].item()
            cupy.cuda.Device().synchronize()
            cupy.cuda.Stream.null.synchronize()
            cupy.cuda.Event().synchronize()
    assert (counts.transfers_to_device, counts.bytes_to_device) == (1, 80)
    assert (counts.bytes_read - inner.bytes_read, counts.bytes_written - inner.bytes_written) == (
        80,
        80,
    )
    assert counts.synchronisations == inner.synchronisations == 8

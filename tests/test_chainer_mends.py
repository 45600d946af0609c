"""Each thing that `vdprune.chainer_mends` mends, by name; those about imports in new processes."""

import io
import warnings
from pathlib import Path

import chainer
import chainer.functions as F
import numpy
import pytest
from chainer import serializers, training
from chainer.backends import cuda
from chainer.training import extensions

from tests.test_chainer_compat import run_python
from vdprune import chainer_mends


def test_environment_check_imports_neither_distutils_nor_pkg_resources() -> None:
    result = run_python(
        "import vdprune, chainer, sys\n"
        "assert 'chainer._environment_check' in sys.modules\n"
        "assert 'pkg_resources' not in sys.modules\n"
        "assert 'numpy.distutils' not in sys.modules\n"
    )
    assert result.returncode == 0, result.stderr


def test_as_strided_forward_and_backward() -> None:
    """numpy.sctypes, gone in NumPy 2."""
    x = chainer.Variable(numpy.arange(4, dtype="f"))
    y = F.as_strided(x, (3, 2), (1, 1), 0)
    y.grad = numpy.ones((3, 2), "f")
    y.backward()
    assert y.array.tolist() == [[0, 1], [1, 2], [2, 3]]
    assert x.grad.tolist() == [1, 2, 2, 1]


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_resize_images(mode: str, align_corners: bool) -> None:
    """numpy.float, gone in NumPy 1.24."""
    x = chainer.Variable(numpy.ones((1, 2, 4, 4), "f"))
    y = F.resize_images(x, (6, 3), mode=mode, align_corners=align_corners)
    y.grad = numpy.ones_like(y.array)
    y.backward()
    numpy.testing.assert_allclose(y.array, 1, rtol=1e-6)
    assert x.grad.sum() == pytest.approx(y.array.size)


def test_hdf5_serializer_handles_str(tmp_path: Path) -> None:
    """h5py refuses the <U arrays that Chainer makes of str."""

    class Holder(chainer.Link):
        def __init__(self, text: str) -> None:
            super().__init__()
            self.add_persistent("text", text)

    serializers.save_hdf5(tmp_path / "x.h5", Holder("naïve, 二"))
    other = Holder("")
    serializers.load_hdf5(tmp_path / "x.h5", other)
    assert other.text == "naïve, 二"


def test_hdf5_serializer_still_handles_the_rest(tmp_path: Path) -> None:
    link = chainer.Link()
    values = {"none": None, "number": 1.5, "flag": True, "array": numpy.arange(3)}
    for name, value in values.items():
        link.add_persistent(name, value)
    serializers.save_hdf5(tmp_path / "x.h5", link)
    other = chainer.Link()
    for name in values:
        other.add_persistent(name, {"number": 0.0, "flag": False}.get(name))
    serializers.load_hdf5(tmp_path / "x.h5", other)
    assert (other.none, other.number, other.flag) == (None, 1.5, True)
    assert other.array.tolist() == [0, 1, 2]


def test_whole_trainer_with_reports_is_saved_in_hdf5(tmp_path: Path) -> None:
    """LogReport, PrintReport and the value triggers keep str."""

    def make_trainer() -> training.Trainer:
        model = chainer.links.Classifier(chainer.links.Linear(3, 2))
        optimizer = chainer.optimizers.Adam().setup(model)
        data = chainer.datasets.TupleDataset(
            numpy.random.randn(12, 3).astype("f"), numpy.arange(12, dtype="i") % 2
        )
        updater = training.StandardUpdater(chainer.iterators.SerialIterator(data, 4), optimizer)
        trainer = training.Trainer(updater, (2, "epoch"), out=str(tmp_path))
        trainer.extend(extensions.LogReport())
        trainer.extend(extensions.PrintReport(["epoch", "main/loss"], out=io.StringIO()))
        trainer.extend(
            extensions.ParameterStatistics(model),
            trigger=training.triggers.MaxValueTrigger("main/accuracy"),
        )
        return trainer

    trainer = make_trainer()
    trainer.run()
    serializers.save_hdf5(tmp_path / "trainer.h5", trainer)
    other = make_trainer()
    serializers.load_hdf5(tmp_path / "trainer.h5", other)
    assert other.updater.iteration == 6
    assert other.get_extension("LogReport").log == trainer.get_extension("LogReport").log


def test_gradient_check_imports_without_pkg_resources() -> None:
    result = run_python(
        "import sys, importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n, *a: None if n == 'pkg_resources' else find(n, *a)\n"
        "import vdprune\n"
        "from chainer import gradient_check, testing\n"
        "assert 'pkg_resources' not in sys.modules\n"
        "try:\n"
        "    testing.with_requires('numpy>=1')\n"
        "except vdprune.VdpruneError as error:\n"
        "    assert \"pip install 'setuptools<81'\" in str(error)\n"
        "else:\n"
        "    raise SystemExit('no error')\n"
    )
    assert result.returncode == 0, result.stderr


def test_onnx_chainer_does_without_onnx_mapping() -> None:
    pytest.importorskip("onnx", reason="onnx_chainer needs it")
    result = run_python(
        "import vdprune, chainer, numpy, sys, onnx\n"
        "import onnx_chainer, chainer.functions as F\n"
        "model = chainer.Sequential(lambda x: F.clipped_relu(F.cast(x, 'd'), 2.0))\n"
        "model = onnx_chainer.export(model, numpy.zeros((1, 3), 'f'), no_testcase=True)\n"
        "constants = [n for n in model.graph.node if n.op_type == 'Constant']\n"
        "values = [onnx.numpy_helper.to_array(n.attribute[0].t).item() for n in constants]\n"
        "assert values == [0, 2], values\n"
        "assert 'onnx.mapping' not in sys.modules\n"
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", chainer_mends.MENDS)
def test_mended_modules_exist(name: str) -> None:
    """A name here that Chainer doesn't have would mend nothing."""
    assert __import__(name, fromlist=["_"]).__name__ == name


@pytest.mark.parametrize(
    "text",
    [
        "\nnccl library could not be loaded.\n\nReason: ImportError (libnccl.so.2: cannot open)\n",
        "\ncudnn library could not be loaded.\n\nReason: ImportError (libcudnn.so.8)\n",
        f"\n{'-' * 80}\n\n"
        "  CuPy may not function correctly because multiple CuPy packages are installed\n",
    ],
)
def test_what_cupy_advises_while_chainer_imports_it_is_held_back(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for module in (
            "chainer.backends.cuda",
            "chainer.training.updaters.multiprocess_parallel_updater",
        ):
            while_importing, _ = chainer_mends.MENDS[module]
            with while_importing():
                warnings.warn(text, stacklevel=1)
                with pytest.raises(UserWarning, match="anything else"):
                    warnings.warn("anything else: nccl library could not be loaded", stacklevel=1)
        with pytest.raises(UserWarning):
            warnings.warn(text, stacklevel=1)


def test_chainer_does_not_say_that_cupy_has_no_cudnn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "available", True)
    monkeypatch.setattr(cuda, "cudnn_enabled", False)
    monkeypatch.setattr(cuda, "_cudnn_disabled_by_user", False, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cuda.check_cuda_available()

"""How `vdprune.chainer_compat` gets into Chainer's import; in new processes."""

import os
import subprocess
import sys

from vdprune import chainer_compat


def run_python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **env},
    )


def test_chainer_imports_after_vdprune_without_a_warning() -> None:
    result = run_python("import vdprune, chainer; print(chainer.__version__)")
    assert (result.stdout, result.stderr) == ("7.8.1\n", "")


def test_numpy_is_left_as_it_is() -> None:
    result = run_python(
        "import numpy; before = set(dir(numpy))\n"
        "import vdprune, chainer\n"
        "import chainer.functions as F\n"
        "F.resize_images(numpy.zeros((1, 1, 2, 2), 'f'), (3, 3))\n"
        "added = {name for name in set(dir(numpy)) - before if not name.startswith('_')}\n"
        "assert not added & {'sctypes', 'float', 'int', 'bool', 'distutils'}, added\n"
        "assert hasattr(numpy, 'sctypes') == ('sctypes' in before)\n"
    )
    assert result.returncode == 0, result.stderr


def test_chainer_first_then_vdprune_works_even_where_the_first_import_failed() -> None:
    """An import of Chainer that failed leaves parts of it behind; they must not be mixed in."""
    result = run_python(
        "import sys, types\n"
        "sys.modules['cupy'] = None\n"  # of which Chainer alone warns
        "sys.modules['numpy.distutils'] = None\n"  # make it fail on any NumPy
        "try:\n"
        "    import chainer\n"
        "    raise SystemExit('imported')\n"
        "except (ImportError, AttributeError):\n"
        "    pass\n"
        "left = {n: m for n, m in sys.modules.items() if n.startswith('chainer.')}\n"
        "assert left\n"
        "import vdprune, chainer, chainer.links\n"
        "assert not any(sys.modules.get(n) is m for n, m in left.items())\n"
        "vdprune.VariationalDropoutLinear(2, 1)(__import__('numpy').zeros((1, 2), 'f'))\n"
    )
    assert result.returncode == 0, result.stderr


def test_chainer_imported_before_vdprune_is_mended_too() -> None:
    """Where Chainer imports by itself (old NumPy and setuptools), its modules are mended late."""
    result = run_python(
        "import sys, types\n"
        "sys.modules['cupy'] = None\n"  # of which Chainer alone warns
        "stand_in = types.ModuleType('chainer._environment_check')\n"
        "stand_in.check = lambda: None\n"
        "sys.modules['chainer._environment_check'] = stand_in\n"
        "import numpy\n"
        "old = not hasattr(numpy, 'sctypes')\n"
        "if old: numpy.sctypes = {'int': [numpy.int32], 'float': [numpy.float32]}\n"
        "import chainer, chainer.functions as F\n"
        "if old: del numpy.sctypes\n"
        "import vdprune\n"
        "F.resize_images(numpy.zeros((1, 1, 2, 2), 'f'), (3, 3))\n"
        "x = chainer.Variable(numpy.zeros(4, 'f'))\n"
        "y = F.as_strided(x, (2,), (1,), 0); y.grad = numpy.ones(2, 'f'); y.backward()\n"
        "from chainer.serializers import hdf5\n"
        "assert hdf5.HDF5Serializer.__call__.__name__ == '__call__'\n"
        "assert hasattr(hdf5.HDF5Serializer.__call__, '__wrapped__')\n"
    )
    assert result.returncode == 0, result.stderr


def test_installing_twice_is_once() -> None:
    before = list(sys.meta_path)
    chainer_compat.install()
    assert sys.meta_path == before

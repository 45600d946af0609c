import subprocess
import sys

import pytest
from threadpoolctl import threadpool_limits

from tests.test_threads import blas_threads
from vdprune.blas import OneBlasThread, find_blas_libraries


def test_libraries_have_one_thread_inside_and_as_many_as_before_after_it() -> None:
    assert find_blas_libraries()
    with threadpool_limits(2, "blas"):
        with pytest.raises(ZeroDivisionError), OneBlasThread():
            assert blas_threads() == {1}
            raise ZeroDivisionError
        assert blas_threads() == {2}


def test_the_kernels_library_alone_is_loaded_of_scipys_and_the_rest_works_afterwards() -> None:
    code = (
        "import sys; from vdprune.blas import find_blas_libraries; n = len(find_blas_libraries());"
        "print('scipy.linalg.cython_blas' in sys.modules, 'scipy.linalg' in sys.modules);"
        "import scipy.linalg; from scipy.linalg import cython_blas;"
        "print(scipy.linalg.inv([[2.0]])[0, 0], n == len(find_blas_libraries()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "0.5", "True"]


def test_a_library_that_is_loaded_already_is_taken() -> None:
    code = (
        "import sys, scipy.linalg; from vdprune.blas import find_blas_libraries; find_blas_libraries();"
        "print(scipy.linalg.cython_blas is sys.modules['scipy.linalg.cython_blas'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_where_the_library_does_not_load_alone_its_package_is_loaded() -> None:
    code = (
        "import sys, vdprune.blas as blas\n"
        "find = blas.PathFinder.find_spec\n"
        "class Loader:\n"
        "    create_module = staticmethod(lambda spec: None)\n"
        "    def exec_module(self, module): raise ImportError\n"
        "def find_broken(name, path):\n"
        "    spec = find(name, path)\n"
        "    spec.loader = Loader()\n"
        "    return spec\n"
        "blas.PathFinder = type('Finder', (), {'find_spec': staticmethod(find_broken)})\n"
        "print(len(blas.find_blas_libraries()) > 0, 'scipy.linalg' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]

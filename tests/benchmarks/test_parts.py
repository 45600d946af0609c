import pytest

from benchmarks.parts import BUILT_IN, Entry, Function, group_by_part, part_of

# a checkout whose folder has the package's name, as it comes from a clone
ROOT = "/home/someone/vdprune"
SITE = f"{ROOT}/.venv/lib/python3.11/site-packages"

APPLY = Function(f"{SITE}/chainer/function_node.py", 242, "apply")
PRODUCTS = Function(f"{ROOT}/vdprune/functions/variational_dropout_linear.py", 27, "products")
DOT = Function(BUILT_IN, 0, "<method 'dot' of 'numpy.ndarray' objects>")
REDUCE = Function(BUILT_IN, 0, "<method 'reduce' of 'numpy.ufunc' objects>")


def entry(function: Function, caller: Function | None = None, ms: float = 1.0) -> Entry:
    return Entry(function, caller, ms, calls=1.0)


@pytest.mark.parametrize(
    ("path", "name", "part"),
    [
        (f"{ROOT}/vdprune/kernels/cpu.py", "weight_moments", "kernel cpu.weight_moments"),
        (f"{ROOT}/vdprune/kernels/unfolding.py", "fold", "kernel unfolding.fold"),
        (f"{SITE}/vdprune/kernels/cpu.py", "adam", "kernel cpu.adam"),
        (f"{ROOT}/vdprune/training/adam.py", "update_core_cpu", "optimizer"),
        (f"{SITE}/chainer/optimizers/adam.py", "lr", "optimizer"),
        (f"{SITE}/chainer/optimizer.py", "update", "optimizer"),
        (f"{ROOT}/vdprune/training/batches.py", "__call__", "iterator and batches"),
        (f"{SITE}/chainer/iterators/serial_iterator.py", "__next__", "iterator and batches"),
        (f"{ROOT}/vdprune/training/extensions.py", "__call__", "trainer and reporting"),
        (f"{SITE}/chainer/reporter.py", "add", "trainer and reporting"),
        (f"{SITE}/chainer/variable.py", "backward", "Chainer's graph and functions"),
        (f"{ROOT}/vdprune/chain.py", "calc_loss", "rest of vdprune"),
        (f"{ROOT}/benchmarks/profile.py", "_matmul", "matrix products"),
        (f"{ROOT}/benchmarks/profile.py", "on_step", "rest"),
        (f"{SITE}/tqdm/std.py", "update", "rest"),
        (BUILT_IN, "<built-in method numpy.dot>", "matrix products"),
        (BUILT_IN, "<built-in method builtins.len>", "rest"),
    ],
)
def test_part_of_a_function(path: str, name: str, part: str) -> None:
    assert part_of(entry(Function(path, 1, name))) == part


@pytest.mark.parametrize(
    ("function", "caller", "part"),
    [
        (REDUCE, APPLY, "Chainer's graph and functions"),
        (REDUCE, PRODUCTS, "rest of vdprune"),
        (DOT, PRODUCTS, "matrix products"),
    ],
)
def test_helpers_belong_to_their_caller(function: Function, caller: Function, part: str) -> None:
    assert function.is_helper
    assert part_of(entry(function, caller)) == part


def test_functions_with_a_file_of_their_own_are_no_helpers() -> None:
    assert not APPLY.is_helper
    assert Function(f"{SITE}/numpy/_core/_methods.py", 1, "_sum").is_helper


def test_the_part_that_takes_longest_comes_first() -> None:
    entries = [entry(APPLY, ms=2.0), entry(PRODUCTS, ms=1.5), entry(DOT, ms=3), entry(APPLY, ms=2)]
    groups = group_by_part(entries)
    assert list(groups) == ["Chainer's graph and functions", "matrix products", "rest of vdprune"]
    assert groups["matrix products"] == [entries[2]]


def test_names_leave_out_what_lies_before_the_package() -> None:
    assert str(entry(APPLY)) == "apply (chainer/function_node.py:242)"
    assert str(entry(REDUCE, APPLY)) == f"{REDUCE.name} in apply (chainer/function_node.py:242)"

import json
import os
import signal
import traceback
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy
import pytest
from chainer.serializers import HDF5Deserializer, HDF5Serializer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from vdprune.archs import build_arch
from vdprune.checkpoint import (
    FORMAT,
    FORMAT_VERSION,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from vdprune.errors import FileFormatError, VdpruneError
from vdprune.pruning import prune
from vdprune.version import __version__

Spoil = Callable[[h5py.File], None]

INPUT_SHAPES = {"lenet300": [1, 3, 3], "lenet5": [1, 16, 16]}
HISTORY = [
    {"epoch": 1.0, "loss": 2.5, "kl_coef": 0.0, "sparsity_of/l1": 0.0, "compression": 1.0},
    {"epoch": 2.0, "loss": 0.1, "kl_coef": 0.5, "sparsity_of/l1": 1.0, "compression": numpy.inf},
]
archs = pytest.mark.parametrize("arch", INPUT_SHAPES)


def make_checkpoint(arch: str = "lenet300", seed: int = 0) -> Checkpoint:
    """A network of three classes as if it had been trained: about a third of it is noise."""
    random = numpy.random.default_rng(seed)
    shape = INPUT_SHAPES[arch]
    kwargs = {"input_shape": shape, "classes": 3, "theta_std": 0.1}
    model = build_arch(arch, **kwargs)
    model.warm_up = 0
    model.kl_coef = 0.25
    model.iteration = 42
    model.to_variational_dropout(loga_threshold=2.5)
    model.scaling.fit(random.integers(0, 256, (20, *shape)), 1 / 256)
    for _, link in model.named_variational_links():
        link.W.array[...] = random.normal(0, 0.3, link.W.shape)
        link.b.array[...] = random.normal(0, 0.05, link.b.shape)
        link.log_sigma2.array[...] = random.uniform(-8, 4, link.W.shape)
    recipe = {"name": "paper", "epochs": 2, "validation": 0, "kl_start": 5.0}
    return Checkpoint(model, arch, kwargs, recipe, "/data/tiny.npz", 2.5, HISTORY)


def assert_same_network(a: Any, b: Any) -> None:
    params = dict(a.namedparams())
    assert params.keys() == dict(b.namedparams()).keys()
    for name, param in b.namedparams():
        assert param.dtype == params[name].dtype
        numpy.testing.assert_array_equal(param.array, params[name].array, err_msg=name)
    numpy.testing.assert_array_equal(a.scaling.mean, b.scaling.mean)
    for name in ("kl_coef", "iteration"):
        assert getattr(a, name) == getattr(b, name)
    assert a.scaling.scale == b.scaling.scale


@archs
def test_a_checkpoint_comes_back(tmp_path: Path, arch: str) -> None:
    checkpoint = make_checkpoint(arch)
    save_checkpoint(tmp_path / "c.h5", checkpoint)
    loaded = load_checkpoint(tmp_path / "c.h5")
    assert_same_network(loaded.model, checkpoint.model)
    for name in ("arch", "arch_kwargs", "recipe", "dataset", "threshold", "history", "pruned"):
        assert getattr(loaded, name) == getattr(checkpoint, name), name
    assert loaded.kind == "checkpoint"
    assert loaded.input_shape == tuple(INPUT_SHAPES[arch])
    assert loaded.model.warm_up == 0
    for _, link in loaded.model.named_variational_links():
        assert link.loga_threshold == 2.5


@archs
def test_a_pruned_checkpoint_comes_back(tmp_path: Path, arch: str) -> None:
    pruned = prune(make_checkpoint(arch), 3.5)
    save_checkpoint(tmp_path / "p.h5", pruned)
    loaded = load_checkpoint(tmp_path / "p.h5")
    assert_same_network(loaded.model, pruned.model)
    assert loaded.pruned
    assert loaded.kind == "pruned"
    assert loaded.threshold == 3.5
    assert loaded.model.sparsity() == pruned.model.sparsity()


def test_a_trained_checkpoint_has_its_history(trained: Path) -> None:
    loaded = load_checkpoint(trained / "checkpoint.h5")
    assert [row["epoch"] for row in loaded.history] == list(range(1, 11))
    assert all(row.keys() == loaded.history[0].keys() for row in loaded.history)
    assert all(isinstance(value, float) for row in loaded.history for value in row.values())
    assert loaded.history[-1]["class"] < loaded.history[0]["class"]
    assert 0 < loaded.model.sparsity().sparsity < 1


def test_no_history_yet(tmp_path: Path) -> None:
    checkpoint = make_checkpoint()
    save_checkpoint(tmp_path / "c.h5", replace(checkpoint, history=[]))
    assert load_checkpoint(tmp_path / "c.h5").history == []


def test_root_attributes_as_h5py_reads_them(tmp_path: Path) -> None:
    checkpoint = replace(make_checkpoint(), earlier_recipes=[{"name": "dense"}], preparation=12.5)
    save_checkpoint(tmp_path / "c.h5", checkpoint)
    loaded = load_checkpoint(tmp_path / "c.h5")
    assert (loaded.earlier_recipes, loaded.preparation) == ([{"name": "dense"}], 12.5)
    with h5py.File(tmp_path / "c.h5") as file:
        attributes = dict(file.attrs)
        assert attributes.pop("input_shape").tolist() == [1, 3, 3]
        assert json.loads(attributes.pop("arch_kwargs")) == checkpoint.arch_kwargs
        assert json.loads(attributes.pop("recipe")) == checkpoint.recipe
        assert json.loads(attributes.pop("earlier_recipes")) == [{"name": "dense"}]
        assert attributes == {
            "preparation": 12.5,
            "format": "vdprune-checkpoint",
            "format_version": FORMAT_VERSION,
            "vdprune_version": __version__,
            "kind": "checkpoint",
            "arch": "lenet300",
            "dataset": "/data/tiny.npz",
            "threshold": 2.5,
        }
        assert set(file) == {"model", "history"}


def test_history_is_one_array_a_column(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.h5", make_checkpoint())
    with h5py.File(tmp_path / "c.h5") as file:
        for column in HISTORY[0]:
            assert file[f"history/{column}"].dtype == numpy.float64
            assert file[f"history/{column}"][...].tolist() == [row[column] for row in HISTORY]


@archs
def test_masks_of_a_pruned_checkpoint(tmp_path: Path, arch: str) -> None:
    pruned = prune(make_checkpoint(arch), 3.0)
    save_checkpoint(tmp_path / "p.h5", pruned)
    with h5py.File(tmp_path / "p.h5") as file:
        assert file.attrs["kind"] == "pruned"
        assert file.attrs["threshold"] == 3.0
        links = pruned.model.named_variational_links()
        assert set(file["masks"]) == {name for name, _ in links}
        for name, link in links:
            mask = file[f"masks/{name}"]
            assert mask.dtype == bool
            numpy.testing.assert_array_equal(mask[...], link.W.array != 0)
            assert not mask[...].all() and mask[...].any()


@archs
def test_the_model_group_is_what_chainer_reads(tmp_path: Path, arch: str) -> None:
    checkpoint = make_checkpoint(arch)
    save_checkpoint(tmp_path / "c.h5", checkpoint)
    fresh = build_arch(arch, **checkpoint.arch_kwargs)
    fresh.to_variational_dropout()
    with h5py.File(tmp_path / "c.h5") as file:
        HDF5Deserializer(file["model"]).load(fresh)
    assert_same_network(fresh, checkpoint.model)


def test_the_state_of_a_run_goes_along(tmp_path: Path) -> None:
    checkpoint = make_checkpoint()
    save_checkpoint(tmp_path / "c.h5", checkpoint, lambda group: group.update({"state": [4, 2]}))
    seen = []

    def load_training(group: h5py.Group, loaded: Checkpoint) -> None:
        assert_same_network(loaded.model, checkpoint.model)
        seen.append((group.name, group["state"][...].tolist()))

    load_checkpoint(tmp_path / "c.h5", load_training)
    assert seen == [("/training", [4, 2])]


def test_a_checkpoint_without_a_run_can_not_be_resumed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "p.h5", prune(make_checkpoint(), 3.0))
    with pytest.raises(FileFormatError, match="pruned file without the state of a training run"):
        load_checkpoint(tmp_path / "p.h5", lambda group, checkpoint: None)


def test_an_error_while_saving_leaves_the_old_file(tmp_path: Path) -> None:
    def fail(group: h5py.Group) -> None:
        raise ZeroDivisionError

    path = tmp_path / "c.h5"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        save_checkpoint(path, make_checkpoint(), fail)
    assert path.read_bytes() == b"old"
    assert [child.name for child in tmp_path.iterdir()] == ["c.h5"]


def replace_array(name: str, array: object) -> Spoil:
    def spoil(file: h5py.File) -> None:
        del file[name]
        file[name] = array

    return spoil


def remove(name: str) -> Spoil:
    def spoil(file: h5py.File) -> None:
        del file[name]

    return spoil


def make_group(name: str) -> Spoil:
    def spoil(file: h5py.File) -> None:
        del file[name]
        file.create_group(name)

    return spoil


def claim(name: str, shape: tuple[int, ...]) -> Spoil:
    """Announce an array of a shape, with nothing in it."""

    def spoil(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file.create_dataset(name, shape, "f4", chunks=tuple(min(n, 1024) for n in shape))

    return spoil


def set_attribute(name: str, value: object) -> Spoil:
    def spoil(file: h5py.File) -> None:
        if value is None:
            del file.attrs[name]
        else:
            file.attrs[name] = value

    return spoil


def set_kwargs(**changes: object) -> Spoil:
    """Change arch_kwargs; a value of None removes one."""

    def spoil(file: h5py.File) -> None:
        kwargs = {**json.loads(file.attrs["arch_kwargs"]), **changes}
        kwargs = {name: value for name, value in kwargs.items() if value is not None}
        file.attrs["arch_kwargs"] = json.dumps(kwargs)

    return spoil


def set_input_shape(*shape: int) -> Spoil:
    def spoil(file: h5py.File) -> None:
        set_kwargs(input_shape=shape)(file)
        file.attrs["input_shape"] = shape

    return spoil


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "good.h5"
    numpy.random.seed(0)
    save_checkpoint(path, make_checkpoint())
    return path


def refusal_of(path: Path) -> str:
    """Load a file that must be refused, at little cost, and return the message."""
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=path.name) as info:
            load_checkpoint(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30e6, f"{peak / 1e6:.0f} MB were allocated"
    return str(info.value)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(
            replace_array("model/l1/W", numpy.zeros((300, 10), "f4")),
            "l1/W has shape (300, 10) in the file, lenet300 with",
            id="weights of another shape",
        ),
        pytest.param(
            replace_array("model/l2/b", numpy.zeros(101, "f4")), "l2/b has shape (101,)", id="bias"
        ),
        pytest.param(
            replace_array("model/l2/log_sigma2", numpy.zeros((300, 100), "f4")),
            "l2/log_sigma2 has shape (300, 100)",
            id="transposed",
        ),
        pytest.param(remove("model/l3/W"), "l3/W has shape nothing", id="no weights"),
        pytest.param(remove("model/l3/log_sigma2"), "l3/log_sigma2 has shape nothing", id="plain"),
        pytest.param(remove("model/l1"), "has shape nothing", id="no layer"),
        pytest.param(remove("model"), "which is the shape of no array", id="no model"),
        pytest.param(remove("history"), "history", id="no history"),
        pytest.param(make_group("model/l1/W"), "l1/W", id="group for array"),
        pytest.param(replace_array("model/l1", numpy.zeros(3, "f4")), "l1", id="array for group"),
        pytest.param(replace_array("history", numpy.zeros(3)), "damaged", id="history an array"),
        pytest.param(
            replace_array("model", numpy.zeros(3)),
            "which is the shape of no array",
            id="model an array",
        ),
        pytest.param(
            replace_array("model/l3/b", numpy.array([b"a", b"b", b"c"])), "damaged", id="text"
        ),
        pytest.param(remove("model/scaling/mean"), "good", id="no mean"),
        pytest.param(
            replace_array("model/scaling/mean", numpy.zeros((1, 9), "f4")),
            "[1, 3, 3], which is the shape of no array",
            id="flat mean",
        ),
        pytest.param(
            replace_array("model/scaling/mean", numpy.zeros((3, 3), "f4")),
            "[1, 3, 3], which is the shape of no array",
            id="2d mean",
        ),
        pytest.param(
            replace_array("model/scaling/mean", numpy.zeros((1, 1, 1), "f4")),
            "[1, 3, 3], which is the shape of no array",
            id="mean of one number",
        ),
        pytest.param(
            replace_array("model/scaling/mean", h5py.Empty("f4")), "good", id="empty mean"
        ),
        pytest.param(
            replace_array("model/scaling/scale", numpy.zeros(3)), "good", id="three scales"
        ),
        pytest.param(remove("model/iteration"), "iteration", id="no iteration"),
        pytest.param(
            replace_array("history/loss", numpy.zeros(3)), "differ in length", id="long column"
        ),
        pytest.param(
            replace_array("history/loss", numpy.zeros(())), "damaged", id="column of no axis"
        ),
        pytest.param(claim("model/l1/W", (10**6, 10**6)), "claims shape", id="huge weights"),
        pytest.param(claim("model/l1/W", (300, 9)), "claims shape", id="weights without data"),
        pytest.param(claim("history/loss", (10**12,)), "claims shape", id="huge history"),
        pytest.param(claim("training/keys", (10**12,)), "claims shape", id="huge state"),
        pytest.param(claim("model/scaling/mean", (10**12,)), "claims shape", id="huge mean"),
        pytest.param(
            set_attribute("arch", "lenet6"), "no arch 'lenet6': choose from lenet300", id="arch"
        ),
        pytest.param(set_attribute("arch", [1, 2]), "can't be made into a network", id="arch list"),
        pytest.param(set_attribute("arch_kwargs", "{"), "damaged", id="no JSON"),
        pytest.param(set_attribute("arch_kwargs", "[1, 2]"), "damaged", id="kwargs a list"),
        pytest.param(set_attribute("arch_kwargs", 3), "damaged", id="kwargs a number"),
        pytest.param(set_kwargs(classes=None), "it tells of None classes", id="no classes"),
        pytest.param(set_kwargs(classes=4), "it tells of 4 classes", id="a class too many"),
        pytest.param(set_kwargs(classes=-1), "good", id="less than no classes"),
        pytest.param(set_kwargs(classes="three"), "good", id="classes a word"),
        pytest.param(set_kwargs(classes=2**20), "good", id="400 MB of classes"),
        pytest.param(set_kwargs(classes=10**15), "good", id="more classes than memory"),
        pytest.param(set_kwargs(depth=3), "can't be made into a network", id="unknown argument"),
        pytest.param(set_kwargs(arch="lenet5"), "can't be made into a network", id="arch twice"),
        pytest.param(set_kwargs(theta_std=-1), "good", id="negative deviation"),
        pytest.param(set_kwargs(input_shape=None), "input_shape", id="no shape"),
        pytest.param(
            set_kwargs(input_shape=[1, 3, 4]),
            "its input_shape is [1, 3, 4] in one place only",
            id="two shapes",
        ),
        pytest.param(set_input_shape(1, 3, 4), "3, 4", id="another shape"),
        pytest.param(set_input_shape(3, 1, 3), "[3, 1, 3]", id="another shape of one size"),
        pytest.param(set_input_shape(9), "[9]", id="flat shape"),
        pytest.param(set_input_shape(1, -3, -3), "good", id="negative shape"),
        pytest.param(set_input_shape(1, 500, 500), "good", id="large shape"),
        pytest.param(set_input_shape(1, 10**6, 10**6), "good", id="huge shape"),
        pytest.param(set_attribute("threshold", numpy.nan), "threshold", id="threshold NaN"),
        pytest.param(set_attribute("threshold", "three"), "damaged", id="threshold a word"),
        pytest.param(set_attribute("recipe", "{"), "damaged", id="recipe no JSON"),
        *(
            pytest.param(set_attribute(name, None), name, id=f"no {name}")
            for name in (
                "arch",
                "arch_kwargs",
                "recipe",
                "dataset",
                "input_shape",
                "threshold",
                "kind",
            )
        ),
        pytest.param(
            set_attribute("format", "vdprune-weights"),
            "is not a vdprune-checkpoint file: it is a vdprune-weights file",
            id="weights",
        ),
        pytest.param(
            set_attribute("format_version", FORMAT_VERSION + 1), "install", id="newer version"
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    good: Path, tmp_path: Path, spoil: Spoil, words: str
) -> None:
    path = tmp_path / "good.h5"
    path.write_bytes(good.read_bytes())
    with h5py.File(path, "r+") as file:
        spoil(file)
    assert words in refusal_of(path)


def test_a_plain_chainer_file_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        HDF5Serializer(file).save(make_checkpoint().model)
    assert f"is not a {FORMAT} file: it says nothing of vdprune" in refusal_of(
        tmp_path / "plain.h5"
    )


def ranges_of_numbers(item: Any) -> list[tuple[int, int]]:
    """Where in the file the numbers of an array are."""
    if not isinstance(item, h5py.Dataset):
        return []
    if item.chunks is None:
        offset = item.id.get_offset()
        return [] if offset is None else [(offset, offset + item.id.get_storage_size())]
    chunks = map(item.id.get_chunk_info, range(item.id.get_num_chunks()))
    return [(chunk.byte_offset, chunk.byte_offset + chunk.size) for chunk in chunks]


def structural_positions(path: Path) -> list[int]:
    """Positions of the bytes of an HDF5 file that are neither numbers of arrays nor zero."""
    is_structure = numpy.frombuffer(path.read_bytes(), numpy.uint8) != 0
    with h5py.File(path) as file:
        ranges: list[tuple[int, int]] = []
        file.visititems(lambda _, item: ranges.extend(ranges_of_numbers(item)))
    for start, end in ranges:
        is_structure[start:end] = False
    return numpy.flatnonzero(is_structure).tolist()


def assert_flipped_bits_do_no_harm(
    original: Path, folder: Path, flips: list[tuple[int, int]], load: Callable[[Path], object]
) -> None:
    """Load copies with one bit flipped each: that must end in our error, or in no error at all.

    It is done in a child process, because damage can also bring the HDF5 library down or make it
    run for ever.
    """
    report = folder / "report.txt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking where there are threads
        child = os.fork()
    if child == 0:
        try:
            for position, bit in flips:
                report.write_text(f"byte {position}, bit {bit}: crashed or took too long")
                data = bytearray(original.read_bytes())
                data[position] ^= 1 << bit
                path = folder / f"damaged{original.suffix}"
                path.write_bytes(data)
                signal.alarm(10)
                try:
                    load(path)
                except VdpruneError as error:
                    assert path.name in str(error), "which file it is must be said"
            os._exit(0)
        except BaseException:
            report.write_text(f"byte {position}, bit {bit}: {traceback.format_exc()}")
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert status == 0, report.read_text()


damages = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@settings(damages, max_examples=10, phases=[Phase.generate])
@given(data=st.data())
def test_flipped_bits_end_in_our_errors_or_a_checkpoint(
    good: Path, tmp_path: Path, data: st.DataObject
) -> None:
    flip = st.tuples(st.sampled_from(structural_positions(good)), st.integers(0, 7))
    flips = data.draw(st.lists(flip, min_size=30, max_size=30))
    assert_flipped_bits_do_no_harm(good, tmp_path, flips, load_checkpoint)


@damages
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(good: Path, tmp_path: Path, share: float) -> None:
    data = good.read_bytes()
    path = tmp_path / "cut.h5"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(FileFormatError, match=r"cut\.h5 is (cut short|damaged|not an HDF5 file)"):
        load_checkpoint(path)


def test_a_trained_checkpoint_with_a_flipped_bit(trained: Path, tmp_path: Path) -> None:
    path = trained / "checkpoint.h5"
    positions = numpy.random.randint(0, path.stat().st_size, 50).tolist()
    flips = [(position, position % 8) for position in positions]
    assert_flipped_bits_do_no_harm(path, tmp_path, flips, load_checkpoint)

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vdprune import hdf5
from vdprune.errors import ArgumentError, FileFormatError, FileWriteError
from vdprune.hdf5 import check_plausible_size, new_h5, open_h5, read_json_attribute
from vdprune.storage import SEAL_SIZE
from vdprune.version import __version__

KINDS = {"vdprune-test": 2}
Spoil = Callable[[h5py.File], None]


def write_sample(path: Path) -> None:
    with new_h5(path, "vdprune-test", 2) as file:
        file.attrs["numbers"] = "[1, 2, 3]"
        file["group/array"] = numpy.arange(12.0).reshape(3, 4)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "sample.h5"
    write_sample(path)
    return path


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def full_disk(*args: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_new_h5_writes_is_read_by_h5py_alone(sample: Path) -> None:
    with h5py.File(sample) as file:
        assert dict(file.attrs) == {
            "format": "vdprune-test",
            "format_version": 2,
            "vdprune_version": __version__,
            "numbers": "[1, 2, 3]",
        }
        numpy.testing.assert_array_equal(file["group/array"][...], numpy.arange(12.0).reshape(3, 4))


def test_open_h5_reads_it_back(sample: Path) -> None:
    with open_h5(sample, KINDS) as file:
        assert read_json_attribute(file, "numbers") == [1, 2, 3]
        assert file["group/array"][1, 2] == 6


def test_open_h5_does_not_write(sample: Path) -> None:
    before = sample.read_bytes()
    with pytest.raises(FileFormatError), open_h5(sample, KINDS) as file:
        file["more"] = 1
    assert sample.read_bytes() == before


def test_an_error_while_the_file_is_made_leaves_the_old_one(sample: Path) -> None:
    before = sample.read_bytes()
    with pytest.raises(ZeroDivisionError), new_h5(sample, "vdprune-test", 2) as file:
        file["array"] = 1 / 0
    assert sample.read_bytes() == before
    assert names_in(sample.parent) == [sample.name]


def test_a_full_disk_leaves_the_old_file(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sample.read_bytes()
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(FileWriteError), new_h5(sample, "vdprune-test", 2) as file:
        file["array"] = numpy.zeros(10)
    assert sample.read_bytes() == before
    assert names_in(sample.parent) == [sample.name]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(FileFormatError, match="there is no file '.*nowhere.h5'"),
        open_h5(tmp_path / "nowhere.h5", KINDS),
    ):
        pass


def set_attributes(**values: object) -> Spoil:
    def spoil(file: h5py.File) -> None:
        for name, value in values.items():
            if value is None:
                del file.attrs[name]
            else:
                file.attrs[name] = value

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(
            set_attributes(format="vdprune-weights"),
            "is not a vdprune-test file: it is a vdprune-weights file",
            id="another of ours",
        ),
        pytest.param(
            set_attributes(format=None),
            "is not a vdprune-test file: it says nothing of vdprune",
            id="not ours",
        ),
        pytest.param(set_attributes(format=3), "says nothing of vdprune", id="number"),
        pytest.param(set_attributes(format=[1, 2]), "says nothing of vdprune", id="array"),
        pytest.param(
            set_attributes(format_version=3, vdprune_version="9.1"),
            rf"of version 3, this vdprune \({__version__}\) reads up to 2: install .*\(9\.1\)",
            id="newer",
        ),
        pytest.param(set_attributes(format_version=0), "version 0", id="version 0"),
        pytest.param(set_attributes(format_version=None), "format_version is None", id="none"),
        pytest.param(set_attributes(format_version="two"), "format_version is 'two'", id="word"),
        pytest.param(set_attributes(format_version=[1, 2]), "format_version is", id="versions"),
        pytest.param(set_attributes(format_version=numpy.nan), "format_version is", id="nan"),
        pytest.param(set_attributes(format_version=numpy.inf), "format_version is", id="inf"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(sample: Path, spoil: Spoil, message: str) -> None:
    with h5py.File(sample, "r+") as file:
        spoil(file)
    with pytest.raises(FileFormatError, match=message), open_h5(sample, KINDS):
        pass


def test_older_versions_are_read(sample: Path) -> None:
    with h5py.File(sample, "r+") as file:
        file.attrs["format_version"] = 1
    with open_h5(sample, KINDS) as file:
        assert file["group/array"].shape == (3, 4)


@pytest.mark.parametrize("data", [b"", b"\x89HDF\r\n\x1a\n", b"PK\3\4", b"\x89PNG\r\n\x1a\n" * 99])
def test_something_else_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "other.h5"
    path.write_bytes(data)
    with (
        pytest.raises(FileFormatError, match=r"other\.h5 is (not an HDF5 file|damaged|cut short)"),
        open_h5(path, KINDS),
    ):
        pass


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(sample: Path, share: float) -> None:
    data = sample.read_bytes()
    path = sample.with_name("cut.h5")
    path.write_bytes(data[: int(share * (len(data) - SEAL_SIZE))])
    with (
        pytest.raises(FileFormatError, match=r"cut\.h5 is (cut short|damaged|not an HDF5 file)"),
        open_h5(path, KINDS),
    ):
        pass


def test_a_file_without_its_last_byte_is_called_cut_short(sample: Path) -> None:
    sample.write_bytes(sample.read_bytes()[:-1])
    with pytest.raises(FileFormatError, match="is cut short"), open_h5(sample, KINDS):
        pass


@pytest.mark.parametrize("error", [OSError, RuntimeError, KeyError, ValueError, TypeError])
def test_errors_of_reading_mean_a_damaged_file(sample: Path, error: type[Exception]) -> None:
    with (
        pytest.raises(FileFormatError, match=r"sample\.h5 is damaged: odd"),
        open_h5(sample, KINDS),
    ):
        raise error("odd")


def test_our_own_errors_pass(sample: Path) -> None:
    with pytest.raises(ArgumentError, match="mine"), open_h5(sample, KINDS):
        raise ArgumentError("mine")


def test_the_file_is_closed_after_an_error(sample: Path) -> None:
    with pytest.raises(FileFormatError), open_h5(sample, KINDS) as file:
        raise ValueError
    assert not file


def test_a_damaged_heap_of_strings_does_not_make_reading_last_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "sample.h5"
    write_sample(path)
    data = bytearray(path.read_bytes())
    last_string = data.index(__version__.encode(), data.index(b"GCOL"))
    data[last_string - 7] ^= 2  # the second byte of its length: it ends in unused space now
    path.write_bytes(data)
    script = (
        "import sys, pathlib\n"
        "from vdprune.errors import FileFormatError\n"
        "from vdprune.hdf5 import open_h5\n"
        "try:\n"
        "    with open_h5(pathlib.Path(sys.argv[1]), {'vdprune-test': 2}): pass\n"
        "except FileFormatError: print('refused')\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=10)
    assert result.stdout == "refused\n", result.stderr


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 4), (500, 500)])
def test_arrays_that_are_all_there_are_plausible(
    tmp_path: Path, compression: str | None, shape: tuple[int, ...]
) -> None:
    options = {"compression": compression, "shuffle": True} if compression and shape else {}
    with h5py.File(tmp_path / "file.h5", "w") as file:
        dataset = file.create_dataset("zeros", data=numpy.zeros(shape), **options)
        file.flush()
        check_plausible_size(dataset)


@pytest.mark.parametrize("chunks", [None, (1, 1024)])
def test_an_array_of_which_nothing_is_there_is_refused(
    tmp_path: Path, chunks: tuple[int, ...] | None
) -> None:
    with h5py.File(tmp_path / "file.h5", "w") as file:
        dataset = file.create_dataset("huge", (10**6, 10**6), "f8", chunks=chunks)
        with pytest.raises(
            ValueError, match=r"/huge claims shape \(1000000, 1000000\).*of which 0"
        ):
            check_plausible_size(dataset)


def test_the_limit_lies_above_what_gzip_can_do() -> None:
    assert hdf5.MAX_GZIP_RATIO > 1032


def test_a_file_that_h5py_has_changed_passes(sample: Path) -> None:
    with h5py.File(sample, "r+") as file:
        file.attrs["note"] = "mine"
    with open_h5(sample, KINDS) as file:
        assert file.attrs["note"] == "mine"


@pytest.mark.parametrize("libver", ["earliest", "v108", "v110"])
def test_bytes_after_the_end_that_are_no_seal_are_refused(tmp_path: Path, libver: str) -> None:
    path = tmp_path / "sample.h5"
    with h5py.File(path, "w", libver=(libver, "v110")) as file:
        file.attrs.update({"format": "vdprune-test", "format_version": 2, "vdprune_version": "1"})
    with open_h5(path, KINDS):
        pass
    path.write_bytes(path.read_bytes() + bytes(SEAL_SIZE))
    message = f"is damaged: {SEAL_SIZE} bytes at its end are not its checksum"
    with pytest.raises(FileFormatError, match=message), open_h5(path, KINDS):
        pass


def test_arrays_that_lie_elsewhere_or_hold_no_numbers_are_refused(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(bytes(20))
    with h5py.File(tmp_path / "file.h5", "w") as file:
        outside = file.create_dataset("a", (5,), "f4", external=[(tmp_path / "raw", 0, 20)])
        layout = h5py.VirtualLayout((5,), "f4")
        layout[:] = h5py.VirtualSource(outside)
        for dataset, message in (
            (outside, "lies in another file"),
            (file.create_virtual_dataset("b", layout), "lies in another file"),
            (file.create_dataset("c", data=["text"]), "not of numbers"),
        ):
            with pytest.raises(ValueError, match=message):
                check_plausible_size(dataset)


def test_a_chunk_larger_than_its_array_counts(tmp_path: Path) -> None:
    options = {"chunks": (2**22,), "maxshape": (None,), "compression": "gzip", "shuffle": True}
    with h5py.File(tmp_path / "file.h5", "w") as file:
        dataset = file.create_dataset("a", (5,), "f4", **options)
        dataset.id.write_direct_chunk((0,), b"0123456789")
        with pytest.raises(ValueError, match="claims shape .5,., 16777216 bytes, of which 10"):
            check_plausible_size(dataset)

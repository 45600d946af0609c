import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy
import pytest

from vdprune.errors import FileFormatError, FileWriteError
from vdprune.hdf5 import new_h5
from vdprune.storage import (
    check_marked,
    check_seal,
    check_writable,
    seal,
    write_atomically,
    write_together,
)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def full_disk(*args: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_new_file_is_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new", b"content")
    assert (tmp_path / "new").read_bytes() == b"content"
    assert names_in(tmp_path) == ["new"]


def test_an_old_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"an older and longer content")
    with path.open("rb") as reader:
        write_atomically(path, b"content")
        assert path.read_bytes() == b"content"
        assert reader.read() == b"an older and longer content"
    assert names_in(tmp_path) == ["file"]


@pytest.mark.parametrize("function", ["fsync", "replace", "chmod", "write"])
def test_an_old_file_outlives_a_failing_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    if function == "fsync":
        monkeypatch.setattr(os, "fsync", full_disk)
    elif function == "write":
        monkeypatch.setattr(os, "fdopen", lambda handle, mode: FullFile(handle))
    else:
        monkeypatch.setattr(Path, function, full_disk)
    with pytest.raises(FileWriteError, match="No space left on device; what was there is untouch"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


@pytest.mark.parametrize("are_there", [True, False])
def test_files_that_belong_together_stay_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, are_there: bool
) -> None:
    """Where the disk has room for one of them."""
    files = {tmp_path / name: b"new" for name in ("net.h", "net.c")}
    if are_there:
        for path in files:
            path.write_bytes(b"old")
    left = iter([os.fsync])
    monkeypatch.setattr(os, "fsync", lambda handle: next(left, full_disk)(handle))
    with pytest.raises(FileWriteError, match=r"net\.c can't be written: No space left on device"):
        write_together(files)
    assert sorted(names_in(tmp_path)) == (["net.c", "net.h"] if are_there else [])
    assert all(path.read_bytes() == b"old" for path in tmp_path.iterdir())


def test_what_was_replaced_before_a_failure_is_named(tmp_path: Path) -> None:
    (tmp_path / "net.c").mkdir()
    with pytest.raises(FileWriteError, match=r"net\.c can't be written: .*; net\.h: replaced"):
        write_together({tmp_path / "net.h": b"new", tmp_path / "net.c": b"new"})
    assert sorted(names_in(tmp_path)) == ["net.c", "net.h"]


class FullFile:
    """A file that can't be written to."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def __enter__(self) -> "FullFile":
        return self

    def __exit__(self, *args: object) -> None:
        os.close(self.handle)

    def write(self, data: bytes) -> None:
        full_disk()


def test_no_new_file_is_left_by_a_failing_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(FileWriteError):
        write_atomically(tmp_path / "new", b"content")
    assert names_in(tmp_path) == []


def test_a_folder_that_cannot_be_synced_does_not_make_the_error_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    fsync = os.fsync

    def fsync_files_only(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", fsync_files_only)
    try:
        write_atomically(path, b"new")
        expected = b"new"
    except FileWriteError as error:
        assert "what was there is untouched" in str(error)
        expected = b"old"
    assert path.read_bytes() == expected


def test_the_data_are_on_disk_before_the_old_file_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    fsync, seen = os.fsync, []

    def watch(handle: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
        seen.append((kind, path.read_bytes()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watch)
    write_atomically(path, b"new")
    assert seen == [("file", b"old"), ("folder", b"new")]


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0)
    os.umask(before)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002, 0o027])
def test_a_new_file_honours_the_umask(
    tmp_path: Path, umask: Callable[[int], int], mask: int
) -> None:
    umask(mask)
    write_atomically(tmp_path / "new", b"content")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~mask
    assert umask(mask) == mask


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_an_old_file_keeps_its_mode(tmp_path: Path, umask: Callable[[int], int], mode: int) -> None:
    umask(0o022)
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_atomically(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("name", ["nowhere/file", "a file/file"])
def test_a_folder_that_is_not_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "a file").touch()
    path = tmp_path / name
    with pytest.raises(FileWriteError, match="can't be written: No(t a| such)"):
        write_atomically(path, b"content")
    with pytest.raises(FileWriteError, match="written: (there is no folder|Not a)"):
        check_writable(path)


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(FileWriteError, match="can't be written"):
        write_atomically(tmp_path / "out", b"content")
    with pytest.raises(FileWriteError, match="it is a folder"):
        check_writable(tmp_path / "out")
    assert names_in(tmp_path) == ["out"]


@pytest.mark.parametrize("content", [None, b"old"])
def test_checking_leaves_everything_as_it_is(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    before = names_in(tmp_path)
    check_writable(path)
    assert names_in(tmp_path) == before
    assert content is None or path.read_bytes() == content


def test_any_changed_byte_of_a_sealed_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "sealed"
    data = seal(bytes(range(256)))
    path.write_bytes(data)
    check_seal(path)
    for position in range(256):
        changed = bytearray(data)
        changed[position] ^= 4
        path.write_bytes(changed)
        with pytest.raises(FileFormatError, match="checksum does not match"):
            check_seal(path)


@pytest.mark.parametrize("behind", [b"\0", b"ab", b"x" * 4000])
def test_bytes_behind_a_seal_are_noticed(tmp_path: Path, behind: bytes) -> None:
    path = tmp_path / "sealed"
    path.write_bytes(seal(b"anything") + behind)
    with pytest.raises(FileFormatError, match=f"{len(behind):,} bytes follow its checksum"):
        check_seal(path)


def test_what_h5py_adds_to_a_file_passes(tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    with new_h5(path, "kind", 1) as file:
        file["a"] = numpy.zeros(100)
    with h5py.File(path, "r+") as file:
        file["b"] = numpy.ones(200)
    assert not check_seal(path)


def test_a_file_without_a_seal_passes(tmp_path: Path) -> None:
    path = tmp_path / "plain"
    path.write_bytes(b"anything")
    check_seal(path)


@pytest.mark.parametrize("missing", range(1, 64))
def test_a_seal_that_is_cut_is_noticed(tmp_path: Path, missing: int) -> None:
    path = tmp_path / "sealed"
    path.write_bytes(seal(b"anything")[:-missing])
    with pytest.raises(FileFormatError, match="is cut short: its last bytes are missing"):
        check_seal(path)


@pytest.mark.parametrize(
    "content",
    [
        b"notes on how I used vdprune",
        b'/* Calls what vdprune made. */\n#include "net.h"\n',
        b"// from net.c:\n/* Made by vdprune 0.1.0 from lenet5. */\n",
        b"<!DOCTYPE html>\n<title>My notes on vdprune</title>\n",
        b"<!DOCTYPE html>\n<body>" + 500 * b" " + b'<meta name="generator" content="vdprune 1">\n',
        b"\x89PNG\r\n\x1a\n\0\0\0\x15tEXtTitle\0drawn like vdprune",
        b"\x89PNG\r\n\x1a\n" + 100 * b"\0" + b"tEXtSoftware\0vdprune",
        b"<?xml version='1.0'?>\n<svg><dc:creator>me</dc:creator><text>vdprune</text></svg>",
        b"%PDF-1.4\n/Title (vdprune)\n%%EOF",
        b"%PDF-1.4\n/Creator (vdprune)\n" + 30000 * b"\n" + b"%%EOF",
        b"\x08\x08\x12\x05torch2\x07vdprune",
        b'\x40\0\0\0\0\0\0\0{"__metadata__":{"note":"\\"format\\":\\"vdprune-weights\\""}}',
        b"of vdpk files",
    ],
)
def test_what_mentions_vdprune_is_not_its_own(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine"
    path.write_bytes(content)
    with pytest.raises(FileWriteError, match="exists and was not written by vdprune"):
        check_marked(path)

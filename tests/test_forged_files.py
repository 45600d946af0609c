"""Files that somebody forged: their checksums are right, what they hold is not."""

import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import CASES, DAMAGES, damages, read_hostile, replace_file, run_in_child
from tests.hostile_kinds import KINDS
from vdprune.formats.packed import PACKED
from vdprune.formats.packed_header import deflate_header, inflate_header
from vdprune.formats.safetensors_file import _digest
from vdprune.storage import SEAL_SIZE, seal

START = len(PACKED) + 1


class Contents(bytes):
    """A file's bytes, which are not printed: Hypothesis warns of that."""

    def __repr__(self) -> str:
        return f"<{len(self):,} bytes>"


def seal_packed(data: bytes) -> bytes:
    return data + zlib.crc32(data).to_bytes(4, "little")


# how long checksums at the end are, and how they are made; HDF5's library can be made to hang, and
# therefore sees nothing that has no right one
SEALS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "csr.npz": (SEAL_SIZE, seal),
    "packed": (4, seal_packed),
}


@pytest.mark.parametrize("damage", ["flip", "overwrite"])
@pytest.mark.parametrize("name", SEALS)
def test_damage_under_a_right_checksum(tmp_path: Path, name: str, damage: str) -> None:
    kind, (size, make_seal) = KINDS[name], SEALS[name]
    path = kind.write(tmp_path)
    original = path.read_bytes()[:-size]

    @damages
    @given(st.integers(0, 2**32))
    def try_some(seed: int) -> None:
        random = Random(seed)
        for _ in range(CASES):
            replace_file(path, make_seal(DAMAGES[damage](random, original)))
            read_hostile(kind.read, path)

    run_in_child(try_some, tmp_path)


ODD_JSON = st.one_of(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    st.sampled_from([-1, 0, 2**31, 2**63, 10**30, 10**4000, 1e308, "l1", "l1/W", "csr", [], {}]),
    st.lists(st.sampled_from([-1, 0, 1, 2, 4, 10**9, "l1", None, 0.5, []]), max_size=5),
    st.just(100_000).map(lambda count: [2**31 - 1] * count),
    st.just({"W": ["l1/W", [10**9, 4]]}),
)


def places_of(value: Any) -> list[tuple[Any, ...]]:
    """Find where there is something in what was JSON, the whole included."""
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    return [(), *((key, *place) for key in keys for place in places_of(value[key]))]


@st.composite
def forged_json(draw: Any, value: Any) -> Any:
    """Change one thing in what was JSON, or take it away."""
    places = places_of(value)[1:]
    if not places or not draw(st.integers(0, 9)):
        return draw(ODD_JSON)
    *parents, key = draw(st.sampled_from(places))
    changed = place = json.loads(json.dumps(value))
    for parent in parents:
        place = place[parent]
    if draw(st.integers(0, 4)):
        place[key] = draw(ODD_JSON)
    else:
        del place[key]
    return changed


@st.composite
def forged_array(draw: Any, array: numpy.ndarray) -> Any:
    """Make another array of one, or something else."""
    changes: list[Callable[[], Any]] = [
        lambda: array.reshape(-1)[:-1],
        lambda: numpy.append(array, array),
        lambda: array[None],
        lambda: numpy.full_like(array, draw(st.sampled_from([0, 1, 3, 100]))),
        lambda: numpy.full(array.shape, draw(st.sampled_from([-1, 5, 2**31, 2**62]))),
        lambda: numpy.full(array.shape, draw(st.sampled_from([numpy.nan, numpy.inf, 1e308]))),
        lambda: numpy.full(array.shape, 2**64 - 1, "u8"),
        lambda: numpy.random.default_rng(0).integers(0, 256, array.shape).astype(array.dtype),
        lambda: numpy.zeros(array.shape, draw(st.sampled_from(["?", "c8", "S3", "f2", "V4"]))),
        lambda: numpy.zeros((0,) * draw(st.integers(0, 30))),
        lambda: numpy.zeros(10**7, "u1"),
    ]
    return draw(st.sampled_from(changes))()


def forge_packed(data: bytes) -> st.SearchStrategy[bytes]:
    header, rest = inflate_header(data[START:-4])
    bodies = st.just(rest) | st.binary(max_size=300) | st.just(rest[:-9])
    return st.builds(
        lambda forged, body: seal_packed(data[:START] + deflate_header(forged) + body),
        st.just(header) | forged_json(header),
        bodies,
    )


@st.composite
def forge_npz(draw: Any, data: bytes) -> bytes:
    with numpy.load(io.BytesIO(data)) as file:
        arrays = dict(file)
    if draw(st.booleans()):
        header = draw(forged_json(json.loads(str(arrays["header"]))))
        arrays["header"] = numpy.array(json.dumps(header))
    else:
        name = draw(st.sampled_from(sorted(set(arrays) - {"header"})))
        arrays[name] = draw(forged_array(arrays[name]))
    buffer = io.BytesIO()
    numpy.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@st.composite
def forge_safetensors(draw: Any, data: bytes) -> bytes:
    safetensors = pytest.importorskip("safetensors.numpy")
    size = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + size])["__metadata__"]
    arrays = safetensors.load(data)
    del metadata["sha256"]
    if draw(st.booleans()):
        name = draw(st.sampled_from(sorted(metadata)))
        try:
            metadata[name] = json.dumps(draw(forged_json(json.loads(metadata[name]))))
        except ValueError:  # no JSON
            metadata[name] = draw(st.sampled_from(["", "{", "[" * 100_000, "null", "NaN", "1e999"]))
    else:
        name = draw(st.sampled_from(sorted(arrays)))
        array = draw(forged_array(arrays[name]))
        arrays[name] = array if array.dtype.kind in "biuf" else arrays[name]
    metadata["sha256"] = _digest(metadata, arrays)
    return safetensors.save(arrays, metadata)


def list_parts(file: h5py.File) -> list[tuple[str, str | None]]:
    """List objects of an HDF5 file, each with None, and with each of its attributes."""
    names = ["/"]
    file.visit(names.append)
    attributes = [(name, attribute) for name in names for attribute in file[name].attrs]
    return [*((name, None) for name in names[1:]), *attributes]


@st.composite
def forge_h5(draw: Any, data: bytes) -> bytes:
    buffer = io.BytesIO(data[:-SEAL_SIZE])
    with h5py.File(buffer, "r+") as file:
        name, attribute = draw(st.sampled_from(list_parts(file)))
        if attribute is not None:
            forge_attribute(draw, file[name].attrs, attribute)
        elif isinstance(file[name], h5py.Dataset) and draw(st.booleans()):
            forge_dataset(draw, file, name)
        else:
            forge_link(draw, file, name)
    return seal(buffer.getvalue())


def forge_attribute(draw: Any, attributes: Any, name: str) -> None:
    value = attributes[name]
    if isinstance(value, str) and value[:1] in ("{", "["):
        found = json.loads(value)
        value = json.dumps(draw(forged_json(found)))
    else:
        value = draw(
            st.sampled_from([0, -1, 2**63, 1e308, numpy.nan, True, "x", "{}", "lenet300", b"x"])
            | st.sampled_from([["l1"], ["l1", "l1"], [1, 2, 2], [-1], h5py.Empty("f4")])
            | forged_array(numpy.asarray(4)).filter(lambda array: array.size < 1000)
        )
    del attributes[name]
    attributes[name] = value[:10_000] if isinstance(value, str) else value


def forge_dataset(draw: Any, file: h5py.File, name: str) -> None:
    array = file[name][()]
    del file[name]
    if name == "graph":
        file[name] = numpy.bytes_(json.dumps(draw(forged_json(json.loads(array)))))
    elif draw(st.integers(0, 3)):
        file.create_dataset(name, data=draw(forged_array(numpy.asarray(array))))
    else:
        shape = draw(st.sampled_from([(10**12,), (10**6, 10**6), numpy.shape(array), (0, 10**12)]))
        chunks = tuple(min(size, 1024) or 1 for size in shape) or None
        file.create_dataset(name, shape, "f4", chunks=chunks, maxshape=(None,) * len(shape))


def forge_link(draw: Any, file: h5py.File, name: str) -> None:
    target: Any = draw(
        st.sampled_from(
            [
                *(None, "text", ["text"], file["/"], h5py.Empty("f4")),
                *(h5py.SoftLink("/"), h5py.SoftLink(f"/{name}"), h5py.SoftLink("/none")),
                h5py.ExternalLink("none.h5", "/"),
            ]
        )
    )
    del file[name]
    if target is None and draw(st.booleans()):
        file.create_group(name)
    elif target is not None:
        file[name] = target


FORGERS = {
    **dict.fromkeys(("csr.h5", "dense.h5", "checkpoint", "pruned", "copies"), forge_h5),
    **dict.fromkeys(("csr.npz", "dense.npz"), forge_npz),
    "packed": forge_packed,
    "safetensors": forge_safetensors,
}


@pytest.mark.parametrize("name", FORGERS)
def test_forged_contents(tmp_path: Path, name: str) -> None:
    kind = KINDS[name]
    path = kind.write(tmp_path)

    @damages
    @given(FORGERS[name](Contents(path.read_bytes())))
    def try_one(data: bytes) -> None:
        replace_file(path, data)
        read_hostile(kind.read, path)

    run_in_child(try_one, tmp_path)

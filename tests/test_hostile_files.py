"""Files of every kind with random damage: refused, or read right."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import CASES, DAMAGES, damages, few, read_hostile, replace_file, run_in_child
from tests.hostile_kinds import KINDS


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", KINDS)
def test_damage_is_noticed_or_does_no_harm(tmp_path: Path, name: str, damage: str) -> None:
    kind = KINDS[name]
    path = kind.write(tmp_path)
    expected, original = kind.read(path), path.read_bytes()

    # what has no checksum is read for the most part, which takes longer
    @(damages if kind.is_sealed else few)
    @given(st.integers(0, 2**32))
    def try_some(seed: int) -> None:
        random = Random(seed)
        for _ in range(CASES):
            replace_file(path, DAMAGES[damage](random, original))
            found = read_hostile(kind.read, path, kind.word)
            assert not kind.is_sealed or found is None or found == expected

    run_in_child(try_some, tmp_path)

"""Damaged submissions: whatever is in their files, a check ends with findings and no traceback."""

import shutil
from random import Random

import pytest
from packing_data import compose_command, make_all, read_zip, write_zip

from vqe.packing.check import check

WORDS = (b"", b"\0", b"\xff\xff\xff\xff", b"PK\x01\x02", b"nan", b"{", b"/../", b"\x00\x00\x00\x00")
CASES = 60

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory, nano_checkpoint):
    return make_all(tmp_path_factory, nano_checkpoint)


def damage(data, random):
    """Overwrite, insert or cut at a few places."""
    data = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at, word = random.randrange(len(data)), random.choice(WORDS)
        data[at : at + random.choice((0, len(word), 40))] = word
    return bytes(data)


def configure(path, *overrides):
    return compose_command("check", f"check='{path}'", "show=0", *overrides)


@pytest.mark.parametrize("file", ["metrics.zip", "videos_1_of_1.zip", "manifest.json"])
def test_damage_to_a_packed_folder_is_found(file, made, tmp_path):
    folder, random = shutil.copytree(made / "packed", tmp_path / "packed"), Random(file)
    config = configure(folder)
    good = (folder / file).read_bytes()
    for case in range(CASES):
        data = damage(good, random)
        (folder / file).write_bytes(data)
        errors = check(config)
        if file != "manifest.json":
            assert errors or data == good, case


@pytest.mark.parametrize("member", ["metrics_unsupervised.csv", "video_0001.mp4"])
def test_damage_inside_of_a_zip_ends_no_check(member, made, tmp_path):
    """The zip is whole, so that its checksums are right; the manifest tells the difference."""
    folder, random = shutil.copytree(made / "packed", tmp_path / "packed"), Random(member)
    config = configure(folder)
    path = folder / ("metrics.zip" if member.endswith("csv") else "videos_1_of_1.zip")
    members = read_zip(path)
    for _ in range(CASES):
        changed = damage(members[member], random)
        write_zip(path, members | {member: changed})
        assert check(config) >= 2 * (changed != members[member])  # the zip and the file

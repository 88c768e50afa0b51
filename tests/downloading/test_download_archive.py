"""Archives become their folder, whole; damaged ones and those that mean harm become nothing."""

import shutil
import tarfile

import pytest
from download_data import BODY, FILES, GOOD, TRAIN, TRAIN_BYTES, list_names
from file_server import pack

from vqe.downloading.archive import unpack_archive
from vqe.downloading.connection import DownloadError
from vqe.downloading.verify import Counts

copy = shutil.copyfileobj
EXPECTED = Counts(FILES, TRAIN_BYTES)


@pytest.fixture
def unpack(tmp_path):
    """Return a function that unpacks an archive's bytes to data/train; a file lies outside."""
    (tmp_path / "data").mkdir()
    (tmp_path / "secret").write_text("mine")

    def run(archive, expected=EXPECTED):
        path = tmp_path / "data/train.tar.gz"
        path.write_bytes(archive)
        return unpack_archive(path, tmp_path / "data/train", expected)

    return run


@pytest.mark.parametrize("top", ["", "./", "data/", "data/2025/"])
@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_archive_becomes_its_folder(unpack, tmp_path, top, mode):
    folders = {top or ".": None, f"{top}train": None, f"{top}train/supervised": None}
    files = {top + name: content for name, content in TRAIN.items()}
    counts = unpack(pack(folders | files, mode))
    assert counts == EXPECTED
    for name, content in TRAIN.items():
        assert (tmp_path / "data" / name).read_bytes() == content
    assert list_names(tmp_path / "data") == ["train", "train.tar.gz"]


OUT = "../../secret"
LINK = {"type": tarfile.SYMTYPE}
HARD = {"type": tarfile.LNKTYPE}
HOSTILE = {
    "parent": {"train/../../evil": b"x"},
    "parent first": {"../evil": b"x"},
    "parent folder": {"../evil": None},
    "absolute": {"/evil": b"x"},
    "backslash": {"train\\..\\..\\evil": b"x"},
    "drive": {"C:/evil": b"x"},
    "symlink out": {"train/evil": LINK | {"linkname": OUT}},
    "symlink far out": {"train/a/evil": LINK | {"linkname": "../../../../../secret"}},
    "symlink out and in": {
        "train/a/evil": LINK | {"linkname": "../../../../train/unsupervised/video_0000_x.mp4"}
    },
    "symlink absolute": {"train/evil": LINK | {"linkname": "/etc/hostname"}},
    "symlink to a folder": {"train/evil": LINK | {"linkname": "unsupervised"}},
    "symlink to nothing": {"train/evil": LINK | {"linkname": "nothing"}},
    "symlink to itself": {"train/evil": LINK | {"linkname": "evil"}},
    "hard link out": {"train/evil": HARD | {"linkname": "../secret"}},
    "hard link absolute": {"train/evil": HARD | {"linkname": "/etc/hostname"}},
    "device": {"train/evil": {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}},
    "block device": {"train/evil": {"type": tarfile.BLKTYPE}},
    "pipe": {"train/evil": {"type": tarfile.FIFOTYPE}},
    "deep": {"train/" + "d/" * 2000 + "evil": b"x"},
    "deep folder": {"d/" * 2000 + "evil": None},
    "file twice": {"train/evil": b"x", "./train/evil": b"y"},
    "file as folder": {"train/f": b"x", "train/f/evil": b"y"},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archive_is_named_and_leaves_nothing(unpack, tmp_path, kind):
    with pytest.raises(DownloadError, match=r"train\.tar\.gz, member '.*evil'"):
        unpack(pack(TRAIN | HOSTILE[kind]))
    assert list_names(tmp_path / "data") == ["train.tar.gz"]
    assert list_names(tmp_path) == ["data", "secret"]
    assert (tmp_path / "secret").read_text() == "mine"


@pytest.mark.parametrize("kind", ["pipe", "symlink out", "hard link absolute", "parent"])
@pytest.mark.parametrize("python", ["old", "new"])
def test_python_with_and_without_a_filter_of_its_own(unpack, monkeypatch, kind, python):
    if python == "old":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    elif not hasattr(tarfile, "data_filter"):
        pytest.skip("this Python has none")
    else:  # the library's word counts, even where ours would pass
        monkeypatch.setattr("vqe.downloading.archive._check_name", lambda name, *_: name)
    with pytest.raises(DownloadError, match=r"train\.tar\.gz, member '.*evil'"):
        unpack(pack(TRAIN | HOSTILE[kind]))


def test_file_through_a_link_stays_inside(unpack, tmp_path):
    attack = {"train/l": LINK | {"linkname": ".."}, "train/l/l/evil": b"x"}
    with pytest.raises(DownloadError, match="member 'train/l'"):
        unpack(pack(TRAIN | attack))
    assert list_names(tmp_path) == ["data", "secret"]


@pytest.mark.parametrize(
    "link",
    [
        LINK | {"linkname": "../real/video_0001_x.mp4"},
        HARD | {"linkname": "train/supervised/real/video_0001_x.mp4"},
    ],
)
def test_link_inside_becomes_a_file(unpack, tmp_path, link):
    place = "train/supervised/synthetic/more.jpg"
    unpack(pack(TRAIN | {place: link}))
    made = tmp_path / "data" / place
    assert made.read_bytes() == b"m" * 100
    assert not made.is_symlink()
    assert made.stat().st_nlink == 1


def test_links_are_counted_before_they_are_copied(unpack, tmp_path, monkeypatch):
    """14 kB of them became 2 GB."""
    monkeypatch.setattr("vqe.downloading.archive.SLACK_BYTES", 2_000_000)
    links = {f"train/{i:04}": HARD | {"linkname": "train/big"} for i in range(2000)}
    bomb = pack(TRAIN | {"train/big": bytes(1_000_000)} | links)
    assert len(bomb) < 30_000
    written = []
    monkeypatch.setattr(
        "vqe.downloading.archive.shutil.copyfileobj", lambda *_: written.append(1) or copy(*_)
    )
    with pytest.raises(DownloadError, match=r"got far more than .*member 'train/0001'"):
        unpack(bomb)
    assert len(written) == len(TRAIN) + 2  # big, and the one link that there was room for
    assert list_names(tmp_path / "data") == ["train.tar.gz"]


def test_archive_of_unknown_size_may_grow_tenfold(unpack, monkeypatch):
    monkeypatch.setattr("vqe.downloading.archive.SLACK_BYTES", 0)
    with pytest.raises(DownloadError, match="got far more than"):
        unpack(pack(TRAIN | {"train/big": bytes(1_000_000)}), Counts(FILES, None))


def test_members_are_counted(unpack, monkeypatch):
    monkeypatch.setattr("vqe.downloading.archive.SLACK_MEMBERS", 0)
    with pytest.raises(DownloadError, match="got far more than"):
        unpack(pack(TRAIN | {f"train/{i}": b"" for i in range(10)}))


def test_long_headers_are_an_error(unpack, tmp_path):
    """A name of 3 MB would be read in one go, and thousands of headers in each other."""
    long = tarfile.TarInfo("a").create_gnu_header(
        {**tarfile.TarInfo("n" * 3_000_000).get_info()}, "utf-8", "replace"
    )
    many = b""
    for _ in range(2000):
        info = tarfile.TarInfo("x").get_info() | {"type": tarfile.GNUTYPE_LONGNAME, "size": 1}
        many += tarfile.TarInfo._create_header(info, tarfile.GNU_FORMAT, "utf-8", "replace")
        many += b"n".ljust(512, b"\0")
    for archive in (long, many):
        with pytest.raises(DownloadError, match="expected a whole tar archive"):
            unpack(pack({"train/a": b"x"}, "w")[:1024] + archive + pack(TRAIN, "w"))
        assert list_names(tmp_path / "data") == ["train.tar.gz"]


FLIPPED = bytearray(pack({"train/supervised/real/video_0001_x.mp4": BODY}))
FLIPPED[1_000_000] ^= 255


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>Sign in</html>" * 100, id="not a tar"),
        pytest.param(b"\x1f\x8b" + b"x" * 999, id="not a gzip"),
        pytest.param(GOOD[: len(GOOD) // 2], id="cut"),
        pytest.param(GOOD[:-4], id="cut in the checksum"),
        pytest.param(bytes(FLIPPED), id="flipped"),
    ],
)
def test_damaged_archive_is_an_error(unpack, tmp_path, archive):
    with pytest.raises(DownloadError, match=r"whole tar archive, got: .*train\.tar\.gz.*Remove"):
        unpack(archive)
    assert list_names(tmp_path / "data") == ["train.tar.gz"]


def test_archive_of_something_else_is_an_error(unpack, tmp_path):
    with pytest.raises(DownloadError, match="expected a folder supervised or unsupervised"):
        unpack(pack({"photos/a.jpg": b"x"}))
    assert list_names(tmp_path / "data") == ["train.tar.gz"]


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("train/supervised/synthetic/video_0001/y/2.jpg", "4 files in train/supervised/synth.*3"),
        ("train/supervised/real/video_0001_y.mp4", "2 files in train/supervised/real, got 1"),
        ("train/unsupervised/video_0001_x.mp4", "3 files in train/unsupervised, got 2"),
    ],
)
def test_missing_file_is_an_error(unpack, tmp_path, lost, words):
    members = {name: content for name, content in TRAIN.items() if name != lost}
    folder = str(tmp_path / "data/train")
    with pytest.raises(DownloadError, match=rf"{words}.*{TRAIN_BYTES} bytes in all, got.*{folder}"):
        unpack(pack(members))
    assert list_names(tmp_path / "data") == ["train.tar.gz"]


def test_wrong_bytes_alone_are_an_error_and_null_leaves_them_unchecked(unpack):
    wrong = Counts(FILES, TRAIN_BYTES + 1)
    with pytest.raises(DownloadError, match=f"^expected {TRAIN_BYTES + 1} bytes.*{TRAIN_BYTES} "):
        unpack(GOOD, wrong)
    assert unpack(GOOD, Counts(FILES, None)).size_bytes == TRAIN_BYTES


def test_interrupt_while_unpacking_leaves_the_archive_alone(unpack, tmp_path, monkeypatch):
    def interrupt(*_):
        assert list((tmp_path / "data").glob(".train.*.part/train/supervised"))
        raise KeyboardInterrupt

    monkeypatch.setattr("vqe.downloading.archive.count_files", interrupt)
    with pytest.raises(KeyboardInterrupt):
        unpack(GOOD)
    assert list_names(tmp_path / "data") == ["train.tar.gz"]


def test_what_a_killed_run_left_is_cleared(unpack, tmp_path):
    (tmp_path / "data/.train.part/train").mkdir(parents=True)
    (tmp_path / "data/.train.part/train/old").write_text("old")
    unpack(GOOD)
    assert not list((tmp_path / "data").rglob("old"))

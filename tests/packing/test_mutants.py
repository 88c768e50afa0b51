"""Mutants of a good submission: each is found by the names of what is wrong, and by no other."""

import re
import runpy
import shutil
import stat
import zipfile
from fractions import Fraction
from pathlib import Path
from random import Random

import av
import pytest
from clips import draw_frame, make_clip
from packing_data import FRAMES, find, make_all, read_zip, write_zip
from rich_clips import make_video

from vqe.cli import REPOSITORY
from vqe.packing.csv_checks import check_table
from vqe.packing.findings import MENDS
from vqe.schema import SUPERVISED_CSV, UNSUPERVISED_CSV

SCORER = runpy.run_path(str(REPOSITORY / "codalab_scoring/score.py"))
VIDEO = "video_0007.mp4"
UNSEEN = {  # notes that any good submission has in these tests, or may have
    "not_compared",
    "team_places",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory, nano_checkpoint):
    return make_all(tmp_path_factory, nano_checkpoint)


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made / "run", tmp_path / "run")


@pytest.fixture
def packed(made, tmp_path):
    return shutil.copytree(made / "packed", tmp_path / "packed")


@pytest.fixture
def folder(made, tmp_path):
    """The CSVs and videos in one plain folder."""
    plain = shutil.copytree(made / "run/results", tmp_path / "plain")
    return shutil.copytree(made / "run/videos", plain, dirs_exist_ok=True)


@pytest.fixture
def look(made, tmp_path):
    """Return a function that checks a path against the test set: names of errors, and of notes."""

    def look(path, *overrides):
        reference = f"reference='{made / 'data'}'"
        return find(path, tmp_path / "report.csv", reference, *overrides)

    return look


# metric CSVs: file, text -> text or bytes, names


def swap(old, new, count=1):
    def change(text):
        assert old in text
        return text.replace(old, new, count)

    return change


def change_column(column, function):
    """Change each value of a column."""

    def change(text):
        header, *rows = [line.split(",") for line in text.splitlines()]
        for row in rows:
            row[column] = function(row[column])
        return "\n".join(",".join(row) for row in (header, *rows)) + "\n"

    return change


def drop_column(column):
    def change(text):
        lines = [line.split(",") for line in text.splitlines()]
        return "\n".join(",".join(f for i, f in enumerate(x) if i != column) for x in lines) + "\n"

    return change


def add_index(text):
    header, *rows = text.splitlines()
    return "\n".join(["," + header, *(f"{i},{row}" for i, row in enumerate(rows))]) + "\n"


def drop_line(number):
    def change(text):
        lines = text.splitlines(keepends=True)
        return "".join(lines[:number] + lines[number + 1 :])

    return change


def repeat_last(text):
    return text + text.splitlines()[-1] + "\n"


PIECES = (
    b"",
    b",",
    b"\n",
    b"\r\n",
    b'"',
    b"-",
    b"e9",
    b"nan",
    b"9",
    b";",
    b" ",
    b"\0",
    b"\xff",
    b"x",
)
UNREAD = {"row_count", "missing_id"}  # of rows that could not be read
CSV_MUTANTS = {
    "a row is missing": (UNSUPERVISED_CSV, drop_line(2), {"row_count", "missing_id"}),
    "the last row is missing": (SUPERVISED_CSV, drop_line(2), {"row_count", "missing_id"}),
    "a row comes twice": (UNSUPERVISED_CSV, repeat_last, {"row_count", "duplicate_id"}),
    "a doubled video_i": (
        SUPERVISED_CSV,
        swap("video_0002", "video_0001"),
        {"duplicate_id", "missing_id"},
    ),
    "an id that is not in test.csv": (
        SUPERVISED_CSV,
        swap("video_0002", "video_0003"),
        {"unknown_id", "missing_id"},
    ),
    "an id with a suffix": (
        SUPERVISED_CSV,
        swap("video_0002", "video_0002.mp4"),
        {"bad_id", "unknown_id", "missing_id"},
    ),
    "NaN": (UNSUPERVISED_CSV, swap("0.5,0.4", "nan,0.4"), {"not_a_number"}),
    "a blank": (UNSUPERVISED_CSV, swap("0.5,0.4", ",0.4"), {"blank_value"}),
    "a blank RMSE": (SUPERVISED_CSV, swap("0.15", ""), {"blank_value"}),
    "infinity": (UNSUPERVISED_CSV, swap("0.5,0.4", "-inf,0.4"), {"infinite_value"}),
    "a number that overflows": (SUPERVISED_CSV, swap("0.15", "1e999"), {"infinite_value"}),
    "a score above 1": (UNSUPERVISED_CSV, swap("0.5,0.4", "1.5,0.4"), {"out_of_range"}),
    "p below 0": (UNSUPERVISED_CSV, swap("0.25,", "-0.25,"), {"out_of_range"}),
    "an RMSE of 0": (SUPERVISED_CSV, swap("0.15", "0.0"), {"zero_rmse"}),
    "an RMSE below 0": (SUPERVISED_CSV, swap("0.15", "-0.15"), {"out_of_range"}),
    "an RMSE in levels of 255": (SUPERVISED_CSV, swap("0.15", "19.1"), {"out_of_range"}),
    "m_5 is 1 - a4": (
        UNSUPERVISED_CSV,
        change_column(5, lambda a4: f"{1 - float(a4):g}"),
        {"out_of_range"},  # where a4 is below 0
    ),
    "an extra column": (
        SUPERVISED_CSV,
        lambda text: re.sub("$", ",1", text.strip(), flags=re.M).replace(",1", ",psnr", 1) + "\n",
        {"extra_column"},
    ),
    "an index column": (SUPERVISED_CSV, add_index, {"extra_column"}),
    "a missing column": (UNSUPERVISED_CSV, drop_column(12), {"missing_column"}),
    "two columns swapped": (UNSUPERVISED_CSV, swap("m_4,m_5", "m_5,m_4"), {"column_order"}),
    "a doubled column": (
        UNSUPERVISED_CSV,
        swap("m_4,m_5", "m_5,m_5"),
        {"double_column", "missing_column"},
    ),
    "a BOM": (SUPERVISED_CSV, lambda text: text.encode("utf-8-sig"), {"byte_order_mark"}),
    "CRLF": (SUPERVISED_CSV, lambda text: text.replace("\n", "\r\n").encode(), {"line_ends"}),
    "UTF-16": (SUPERVISED_CSV, lambda text: text.encode("utf-16-le"), {"encoding"}),
    "Latin-1": (SUPERVISED_CSV, lambda text: (text + "ä").encode("latin-1"), {"encoding"}),
    "comma decimals": (
        SUPERVISED_CSV,
        lambda text: text.replace(".", ","),
        {"decimal_comma", *UNREAD},
    ),
    "quoted comma decimals": (SUPERVISED_CSV, swap("0.15", '"0,15"'), {"decimal_comma"}),
    "semicolons": (SUPERVISED_CSV, lambda text: text.replace(",", ";"), {"delimiter"}),
    "an empty line": (SUPERVISED_CSV, swap("video_0002", "\nvideo_0002"), {"empty_line"}),
    "a space before a value": (SUPERVISED_CSV, swap(",0.15", ", 0.15"), {"malformed_value"}),
    "an open quote": (SUPERVISED_CSV, swap("0.15", '"0.15'), {"field_count", *UNREAD}),
    "a field too many": (SUPERVISED_CSV, swap("0.15", "0.15,0.15"), {"field_count", *UNREAD}),
    "an empty file": (SUPERVISED_CSV, lambda text: "", {"missing_column"}),
}


@pytest.mark.parametrize("mutant", CSV_MUTANTS)
def test_a_mutant_of_a_csv_is_found(mutant, folder, look):
    file, change, names = CSV_MUTANTS[mutant]
    changed = change((folder / file).read_text())
    (folder / file).write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    errors, _ = look(folder, "only_csv=true")
    assert errors == names


def test_what_the_leaderboard_s_own_script_refuses_is_found(made):
    """Damage of all kinds, by the scorer's reader and by ours."""
    columns = SCORER["COLUMNS"]
    random = Random(7)
    refused = 0
    for name, rows in {SUPERVISED_CSV: 2, UNSUPERVISED_CSV: 3}.items():
        good = (made / "run/results" / name).read_bytes()
        for _ in range(300):
            data = bytearray(good)
            for _ in range(random.randint(1, 3)):
                at = random.randrange(len(data))
                piece = random.choice(PIECES)
                data[at : at + random.choice((0, 1, len(piece)))] = piece
            try:
                SCORER["parse_table"](name, bytes(data), rows)
            except SCORER["SubmissionError"]:
                refused += 1
                table = check_table(name, bytes(data), columns[name], rows=rows, ids=None)
                assert table.findings, bytes(data)
    assert refused > 400


def test_a_column_that_the_run_did_not_log_so_is_found(run, look):
    path = run / "results" / UNSUPERVISED_CSV
    good = path.read_text()
    for column, names in {5: {"flipped_m_5", "out_of_range"}, 3: {"unlike_log"}}.items():
        path.write_text(change_column(column, lambda value: f"{1 - float(value):.9g}")(good))
        assert look(run)[0] == names


def test_an_m_5_that_rises_with_the_others_is_noted(folder, look):
    path = folder / UNSUPERVISED_CSV
    header = path.read_text().splitlines()[0]
    for sign, found in ((-1, set()), (1, {"flipped_m_5"})):
        rows = []
        for i in range(40):
            scores = [0.3 + 0.01 * i] * 12
            scores[4] = 0.5 + sign * 0.01 * i
            rows.append(f"video_{i:04d}," + ",".join(map(str, scores)))
        path.write_text("\n".join([header, *rows]) + "\n")
        _, notes = find(folder, path.with_name("report.csv"), "unsupervised=40", "only_csv=true")
        assert notes - UNSEEN == found


# videos


def clip(**options):
    """Encode the video anew by these options of `make_clip`."""

    def make(path):
        make_clip(path, **{"rate": 30, "frames": FRAMES} | options)

    return make


def encode(**settings):
    """Encode the video anew with an encoder's own options."""

    def make(path):
        with av.open(str(path), "w", format="mp4") as file:
            stream = file.add_stream("libx264", rate=30, options=settings)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for number in range(FRAMES):
                picture = av.VideoFrame.from_ndarray(draw_frame(number, 64, 48), format="bgr24")
                picture.pts = number
                file.mux(stream.encode(picture))
            file.mux(stream.encode(None))

    return make


def as_matroska(path):
    make_clip(path.with_suffix(".mkv"), rate=30, frames=FRAMES)
    path.with_suffix(".mkv").replace(path)


def spoil_tail(path):
    """Overwrite the last pictures: the header is whole."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        last = max(packets, key=lambda packet: packet.pos)
        start = last.pos + 5
        size = last.size - 5
    data = bytearray(path.read_bytes())
    data[start : start + size] = b"\xff" * size
    path.write_bytes(data)


def cut_tail(path):
    """Cut a file whose index comes first."""
    make_clip(path, rate=30, frames=30, options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-1500])


def change_size(path):
    """Go on in another size, as a stream of H.264 may."""
    raw = path.with_suffix(".h264")
    parts = [path.with_name(f"{width}.h264") for width in (64, 62)]
    for part in parts:
        make_clip(part, rate=30, frames=FRAMES // 2, width=int(part.stem))
    raw.write_bytes(b"".join(part.read_bytes() for part in parts))
    with av.open(str(raw)) as old, av.open(str(path), "w", format="mp4") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(p for p in old.demux(video=0) if p.size):
            packet.time_base, packet.stream = Fraction(1, 30), stream
            packet.pts, packet.dts, packet.duration = number, number, 1
            new.mux(packet)
    for part in (raw, *parts):
        part.unlink()


def copy_packets(path, change):
    """Copy the stream, packet by packet, each changed by a function of its number and itself."""
    source = path.with_name("source.mp4")
    path.replace(source)
    with av.open(str(source)) as old, av.open(str(path), "w", format="mp4") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = (packet for packet in old.demux(video=0) if packet.dts is not None)
        for number, packet in enumerate(packets):
            copied = change(number, packet)
            copied.stream = stream
            new.mux(copied)
    source.unlink()


def without_words(number, packet):
    """Take x264's words out, as some tools do."""
    copied = av.Packet(bytes(packet).replace(b"x264 - core", b"nothing    "))
    copied = av.Packet(bytes(copied).replace(b" rc=", b" xx="))
    copied.pts, copied.dts, copied.time_base = packet.pts, packet.dts, packet.time_base
    copied.duration, copied.is_keyframe = packet.duration, packet.is_keyframe
    return copied


def with_a_late_frame(number, packet):
    """Show one frame later, and all others when they were."""
    packet.pts += 100 * (number == 2)
    return packet


CLIP_CRF = {"crf"}  # make_clip leaves x264 its own crf of 23
VIDEO_MUTANTS = {
    "two columns less": (clip(width=62), {"frame_size"} | CLIP_CRF),
    "two rows more": (clip(height=50), {"frame_size"} | CLIP_CRF),
    "29.97 frames a second": (clip(rate=Fraction(30000, 1001)), {"frame_rate"} | CLIP_CRF),
    "25 frames a second": (clip(rate=25), {"frame_rate"} | CLIP_CRF),
    "a frame less": (clip(frames=FRAMES - 1), {"frame_count"} | CLIP_CRF),
    "a frame more": (clip(frames=FRAMES + 1), {"frame_count"} | CLIP_CRF),
    "4:4:4": (clip(pix_fmt="yuv444p"), {"pix_fmt", "profile"} | CLIP_CRF),
    "10 bits": (clip(pix_fmt="yuv420p10le"), {"pix_fmt", "profile"} | CLIP_CRF),
    "HEVC": (clip(codec="libx265"), {"codec"}),
    "full range": (clip(pix_fmt="yuvj420p"), {"full_range"} | CLIP_CRF),
    "rotated": (clip(rotation=90), {"rotation"} | CLIP_CRF),
    "sound": (clip(audio=True), {"other_stream"} | CLIP_CRF),
    "a variable rate": (
        clip(times=[0, 33, 67, 150, 183, 217]),
        {"frame_rate"} | CLIP_CRF,
    ),
    "pixels of 4:3": (
        lambda path: make_video(path, rate=30, frames=FRAMES, pixel_shape=Fraction(4, 3)),
        None,
    ),
    "a late frame": (lambda path: copy_packets(path, with_a_late_frame), {"uneven_frames"}),
    "another size from the middle on": (
        change_size,
        {"changing_frames", "uneven_frames"} | CLIP_CRF,  # its B frames have no times of their own
    ),
    "fields": (encode(crf="18", flags="+ildct+ilme"), {"interlaced"}),
    "crf 23": (encode(crf="23"), {"crf"}),
    "a constant bit rate": (encode(b="200000"), {"crf"}),
    "profile main": (encode(crf="18", profile="main"), {"profile"}),
    "a Matroska file": (as_matroska, {"container"} | CLIP_CRF),
    "a spoilt tail": (spoil_tail, {"unreadable_tail"}),
    "a cut tail": (cut_tail, {"unreadable_tail"} | CLIP_CRF),
    "a cut header": (
        lambda path: path.write_bytes(path.read_bytes()[:-800]),
        {"unreadable_video"},
    ),
    "no video": (lambda path: path.write_bytes(b"no video"), {"unreadable_video"}),
    "an empty file": (lambda path: path.write_bytes(b""), {"empty_file"}),
    "a missing video": (Path.unlink, {"missing_video"}),
    "a video too many": (
        lambda path: shutil.copy(path, path.with_name("video_0099.mp4")),
        {"unknown_video", "row_count"},
    ),
}


@pytest.mark.parametrize("mutant", VIDEO_MUTANTS)
def test_a_mutant_of_a_video_is_found(mutant, folder, look):
    change, names = VIDEO_MUTANTS[mutant]
    change(folder / VIDEO)
    errors, _ = look(folder)
    if names is None:
        assert {"pixel_aspect"} <= errors <= {"pixel_aspect", "frame_rate", "crf", "uneven_frames"}
    else:
        assert errors == names


def test_encoders_that_leave_no_words_are_a_note(folder, look):
    copy_packets(folder / VIDEO, without_words)
    errors, notes = look(folder)
    assert errors == set()
    assert notes == {"no_settings"}


def test_another_preset_is_a_note(folder, look):
    encode(crf="18", preset="slow")(folder / VIDEO)
    assert look(folder) == (set(), {"preset"})


def test_what_is_allowed_is_a_note(folder, look):
    encode(crf="23")(folder / VIDEO)
    assert look(folder, "allow=[crf]") == (set(), {"crf"})
    with pytest.raises(ValueError, match="expected allow to name findings"):
        look(folder, "allow=[cfr]")


# zips and folders


def rezip(change, name="metrics.zip"):
    """Write a zip of a packed folder anew with other members."""

    def make(packed):
        path = packed / name
        members = read_zip(path)
        write_zip(path, change(members))

    return make


def add_member(name, data=b"x"):
    return rezip(lambda members: members | {name: data})


def write_special(name, *, attributes=0, compression=zipfile.ZIP_STORED, flags=0):
    """Add a member with other facts to the zip of metrics."""

    def make(packed):
        with zipfile.ZipFile(packed / "metrics.zip", "a") as archive:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = attributes << 16, compression
            archive.writestr(info, b"target")
        if flags:
            path = packed / "metrics.zip"
            data = bytearray(path.read_bytes())
            data[data.rindex(b"PK\x01\x02") + 8] |= flags
            path.write_bytes(data)

    return make


def double_member(packed):
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(packed / "metrics.zip", "a") as archive,
    ):
        archive.writestr(SUPERVISED_CSV, archive.read(SUPERVISED_CSV))


def flip_byte(packed):
    path = packed / "videos_1_of_1.zip"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def truncate(packed):
    path = packed / "metrics.zip"
    path.write_bytes(path.read_bytes()[:-40])


def swap_videos(packed):
    """Give two videos each other's name: both are well, neither is what was packed."""

    def change(members):
        a, b, *_ = members
        return members | {a: members[b], b: members[a]}

    rezip(change, "videos_1_of_1.zip")(packed)


def put_into_folder(members):
    return {f"results/{name}": data for name, data in members.items()}


def add_twins(members):
    return members | {f"__MACOSX/._{name}": b"\0\5\26\7" for name in members}


def mix(packed):
    members = read_zip(packed / "videos_1_of_1.zip") | read_zip(packed / "metrics.zip")
    write_zip(packed / "videos_1_of_1.zip", members)
    (packed / "metrics.zip").unlink()


ZIP_MUTANTS = {
    "a folder inside": (rezip(put_into_folder), {"folder_inside"}),
    "__MACOSX": (rezip(add_twins), {"system_file"}),
    ".DS_Store": (add_member(".DS_Store"), {"system_file"}),
    "a foreign file": (add_member("readme.txt"), {"foreign_file"}),
    "a nested zip": (add_member("more.zip"), {"nested_zip"}),
    "a name beyond ASCII": (add_member("größe.csv"), {"non_ascii_name"}),
    "an entry for a folder": (add_member("results/"), {"folder_inside"}),
    "a path that leads out": (add_member("../x.csv"), {"folder_inside", "foreign_file"}),
    "a doubled member": (double_member, {"double_member"}),
    "a link": (write_special("x", attributes=stat.S_IFLNK | 0o777), {"link", "foreign_file"}),
    "LZMA": (write_special("x", compression=zipfile.ZIP_LZMA), {"compression", "foreign_file"}),
    "a password": (write_special("x", flags=1), {"encrypted", "foreign_file"}),
    "an empty zip": (rezip(lambda members: {}), {"nothing_here"}),
    "a zip without one CSV": (
        rezip(lambda members: {UNSUPERVISED_CSV: members[UNSUPERVISED_CSV]}),
        {"missing_csv"},
    ),
    "a flipped byte": (flip_byte, {"damaged_member"}),
    "a cut zip": (truncate, {"not_a_zip"}),
    "CSVs among videos": (mix, {"mixed_zip"}),
    "videos under each other's names": (swap_videos, set()),
    "a zip that is gone": (lambda packed: (packed / "videos_1_of_1.zip").unlink(), set()),
    "a zip too many": (lambda packed: write_zip(packed / "old.zip", {"a.txt": b""}), None),
    "a file beside the zips": (lambda packed: (packed / "video_0001.mp4").touch(), None),
}


@pytest.mark.parametrize("mutant", ZIP_MUTANTS)
def test_a_mutant_of_the_zips_is_found(mutant, packed, look):
    change, names = ZIP_MUTANTS[mutant]
    change(packed)
    errors, _ = look(packed)
    if mutant == "a file beside the zips":
        assert errors == {"foreign_file"}
    elif names is None:
        assert errors == {"foreign_file", "manifest"}
    else:
        assert errors == names | {"manifest"}  # which knows each byte


@pytest.mark.parametrize("mutant", [name for name, (_, names) in ZIP_MUTANTS.items() if names])
def test_a_mutant_of_the_zips_is_found_without_a_manifest_too(mutant, packed, look):
    change, names = ZIP_MUTANTS[mutant]
    change(packed)
    (packed / "manifest.json").unlink()
    assert look(packed)[0] == names


def test_a_manifest_that_is_none_is_found(packed, look):
    (packed / "manifest.json").write_text('{"zips": {"a.zip": []}}')
    assert look(packed)[0] == {"manifest"}


def test_a_zip_that_is_too_large_is_found(packed, look):
    assert look(packed, "part_mb=0.005")[0] == {"zip_size"}


def test_every_name_says_how_to_mend_it():
    assert all(mend and not mend.endswith(".") for mend in MENDS.values())
    expected = {"duplicate_id", "out_of_range", "unreadable_tail", "full_range", "folder_inside"}
    assert expected <= set(MENDS)


def test_the_page_names_every_finding():
    page = (REPOSITORY / "docs/submission.md").read_text()
    assert [name for name in MENDS if f"`{name}`" not in page] == []


def test_there_are_mutants_enough():
    assert len(CSV_MUTANTS) + len(VIDEO_MUTANTS) + len(ZIP_MUTANTS) >= 25

"""A file from a server that cuts, lies and changes its mind comes whole, or not at all."""

import random
from itertools import pairwise

import pytest
from download_data import BODY, POLICY, list_names
from file_server import Cut, Headers, Stall, run_server

from vqe.downloading.connection import DownloadError, RetryPolicy
from vqe.downloading.fetch import fetch_file

OTHER = random.Random(2).randbytes(3_000_000)


@pytest.fixture
def server():
    with run_server() as server:
        server.files["a.bin"] = BODY
        yield server


@pytest.fixture
def fetch(server, tmp_path):
    """Return a function that fetches a.bin and returns its content."""

    def run(**options):
        fetch_file(f"{server.url}/a.bin", tmp_path / "a.bin", POLICY, **options)
        return (tmp_path / "a.bin").read_bytes()

    return run


def leave_part(server, fetch, after=1_000_000):
    """Fetch the first bytes of a file, as a killed run leaves it."""
    server.faults["a.bin"] = [Cut(after), *[500] * POLICY.retries]
    with pytest.raises(DownloadError, match="500"):
        fetch()
    server.seen.clear()


def test_file_comes_whole_and_leaves_no_part(server, fetch, tmp_path):
    assert fetch() == BODY
    assert list_names(tmp_path) == ["a.bin", "a.bin.download.json"]
    assert server.seen == [("GET", "a.bin", None)]


@pytest.mark.parametrize("reset", [False, True])
def test_cut_connections_are_taken_up_where_they_ended(server, fetch, reset):
    cuts = [Cut(700_000, reset) for _ in range(4)]  # more than the retries: each gets on
    server.faults["a.bin"] = cuts
    assert fetch() == BODY
    starts = [int(r[2].removeprefix("bytes=").rstrip("-")) for r in server.seen[1:]]
    if reset:  # takes what the reader had not read yet along
        steps = [b - a for a, b in pairwise([0, *starts])]
        assert len(steps) == 4
        assert all(0 <= step <= 700_000 for step in steps)
    else:
        assert starts == [700_000, 1_400_000, 2_100_000, 2_800_000]


def test_cuts_without_a_new_byte_end_it_and_the_part_stays(server, fetch, tmp_path):
    server.faults["a.bin"] = [Cut(700_000), Cut(0), Cut(0)]
    with pytest.raises(DownloadError, match=r"expected 3000000 bytes, got a cut after 700000"):
        fetch()
    assert (tmp_path / "a.bin.part").read_bytes() == BODY[:700_000]
    assert not (tmp_path / "a.bin").exists()
    assert fetch() == BODY
    assert server.seen[-1][2] == "bytes=700000-"


def test_silence_is_a_cut(server, fetch):
    server.faults["a.bin"] = [Stall(500_000, seconds=1.5)]
    assert fetch() == BODY
    assert len(server.seen) == 2


@pytest.mark.parametrize("status", [500, 503, 429])
def test_server_errors_pass(server, fetch, status):
    server.faults["a.bin"] = [status] * POLICY.retries
    assert fetch() == BODY


def test_pauses_double(server, fetch, monkeypatch):
    pauses = []
    monkeypatch.setattr("vqe.downloading.connection.time.sleep", pauses.append)
    server.faults["a.bin"] = [500] * 3
    with pytest.raises(DownloadError, match=r"within 3 attempts, got 500 .*a\.bin"):
        fetch()
    assert pauses == [0.01, 0.02]


@pytest.mark.parametrize("status", [403, 404])
def test_client_errors_are_not_tried_again(server, fetch, tmp_path, status):
    server.faults["a.bin"] = [status]
    words = rf"got {status} .*{server.url}/a\.bin.*conf/download\.yaml"
    with pytest.raises(DownloadError, match=words):
        fetch()
    assert len(server.seen) == 1
    assert list_names(tmp_path) == []


def test_no_server_is_an_error_after_retries(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with run_server() as gone:
        url = gone.url
    with pytest.raises(DownloadError, match=r"(?i)refused"):
        fetch_file(f"{url}/a", tmp_path / "a", POLICY)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "a.bin", "ftp://127.0.0.1/a"])
def test_other_urls_are_refused(url, tmp_path):
    with pytest.raises(ValueError, match="http"):
        fetch_file(url, tmp_path / "a", POLICY)


REDIRECTS = ("ftp://127.0.0.1/a", "file:///etc/hostname", "http://localhost:1/a", "data:,a")


@pytest.mark.parametrize("place", REDIRECTS)
def test_redirect_elsewhere_must_be_https(server, fetch, tmp_path, place):
    server.redirects["a.bin"] = place
    with pytest.raises(DownloadError, match=rf"(?i)redirect.* to .*{place}.*http://127"):
        fetch()
    assert list_names(tmp_path) == []


def test_redirect_to_https_is_followed(server, fetch):
    server.redirects["a.bin"] = server.url.replace("http", "https") + "/a.bin"
    with pytest.raises(DownloadError, match=r"(?i)ssl|tls"):  # this server speaks none
        fetch()


START = {
    "a.ckpt": b"PK\x03\x04",
    "b.pth": b"\x80\x02",
    "c.tar.gz": b"\x1f\x8b",
    "d.safetensors": (9).to_bytes(8, "little") + b"{",
}


@pytest.mark.parametrize("name", START)
def test_kind_is_told_by_the_first_bytes(server, tmp_path, name):
    server.files[name] = START[name] + b"x" * 40
    fetch_file(f"{server.url}/{name}", tmp_path / name, POLICY)
    for wrong in (b"<!DOCTYPE html>" + b" " * 40, b"", b"{}"):
        server.files[name] = wrong
        with pytest.raises(DownloadError, match=r"expected a file of the kind \..*proxy"):
            fetch_file(f"{server.url}/{name}", tmp_path / "new" / name, POLICY)
    assert not (tmp_path / "new" / name).exists()


def test_server_without_ranges_starts_over(server, fetch):
    leave_part(server, fetch)
    server.ranges = False
    assert fetch() == BODY
    assert server.seen == [("GET", "a.bin", "bytes=1000000-")]


def test_server_without_ranges_that_always_cuts_ends(server, fetch):
    server.ranges = False
    server.faults["a.bin"] = [Cut(1_000_000)] * 99
    with pytest.raises(DownloadError, match="cut after 1000000"):
        fetch()
    assert len(server.seen) == 1 + POLICY.retries  # only the first one brought new bytes


@pytest.mark.parametrize("if_range", [True, False])
@pytest.mark.parametrize("size", [3_000_000, 2_000_000, 500_000, 4_000_000])
def test_another_version_is_not_glued_on(server, fetch, size, if_range):
    leave_part(server, fetch)
    server.if_range = if_range
    server.files["a.bin"] = new = (OTHER + BODY)[:size]
    server.versions["a.bin"] = '"2"'
    assert fetch() == new
    assert len(server.seen) == (1 if if_range else 2)  # If-Range saves the second request


def test_version_known_by_its_date_alone_is_gone_on_with(server, fetch):
    server.versions["a.bin"] = None
    leave_part(server, fetch)
    assert fetch() == BODY
    assert server.seen == [("GET", "a.bin", "bytes=1000000-")]


def test_redirect_is_followed_when_going_on(server, fetch):
    server.redirects["a.bin"] = "elsewhere/b.bin"
    server.files["elsewhere/b.bin"] = BODY
    server.faults["elsewhere/b.bin"] = [Cut(1_000_000)]
    assert fetch() == BODY
    assert server.seen[-1] == ("GET", "elsewhere/b.bin", "bytes=1000000-")


@pytest.mark.parametrize("etag", ["", 'W/"1"'])
def test_version_that_nothing_tells_is_fetched_from_the_start(server, fetch, etag):
    server.versions["a.bin"] = etag
    leave_part(server, fetch)
    assert fetch() == BODY
    assert server.seen == [("GET", "a.bin", None)]


@pytest.mark.parametrize(
    "content_range", ["bytes 999999-2999999/3000000", "bytes 1000000-2999999/9000000", "x", None]
)
def test_wrong_range_starts_over(server, fetch, content_range):
    leave_part(server, fetch)
    server.faults["a.bin"] = [Headers({"Content-Range": content_range})]
    assert fetch() == BODY
    assert [r[2] for r in server.seen] == ["bytes=1000000-", None]


@pytest.mark.parametrize("damage", ["no json", '{"url": 1}', None])
def test_part_of_unknown_origin_is_not_used(server, fetch, tmp_path, damage):
    (tmp_path / "a.bin.part").write_bytes(OTHER[:1_000_000])
    if damage:
        (tmp_path / "a.bin.download.json").write_text(damage)
    assert fetch() == BODY


def test_part_of_another_url_is_not_used(server, fetch, tmp_path):
    leave_part(server, fetch)
    server.files["b.bin"] = OTHER
    fetch_file(f"{server.url}/b.bin", tmp_path / "a.bin", POLICY)
    assert (tmp_path / "a.bin").read_bytes() == OTHER


def test_part_that_was_whole_is_kept_without_a_request(server, fetch, tmp_path):
    fetch()
    (tmp_path / "a.bin").rename(tmp_path / "a.bin.part")
    server.seen.clear()
    assert fetch() == BODY
    assert server.seen == []


@pytest.mark.parametrize("expected", [2_999_999, 3_000_001])
def test_size_other_than_the_config_s_is_an_error(server, fetch, tmp_path, expected):
    words = rf"expected {expected} bytes, got a file of 3000000 .*{server.url}"
    with pytest.raises(DownloadError, match=words):
        fetch(expected_bytes=expected)
    assert list_names(tmp_path) == []
    assert len(server.seen) == 1


def test_body_shorter_than_its_length_is_no_file(server, fetch, tmp_path):
    server.ranges = False
    server.faults["a.bin"] = [Headers({"Content-Length": 3_000_500, "Connection": "close"})] * 9
    with pytest.raises(DownloadError, match="expected 3000500 bytes, got a cut after 3000000"):
        fetch()
    assert not (tmp_path / "a.bin").exists()


@pytest.mark.parametrize("length", [None, "-5", "many"])
def test_no_length_is_an_error(server, fetch, length):
    server.faults["a.bin"] = [Headers({"Content-Length": length})]
    with pytest.raises(DownloadError, match="Content-Length"):
        fetch()


def test_empty_file_is_a_file(server, fetch):
    server.files["a.bin"] = b""
    assert fetch() == b""


@pytest.mark.parametrize(
    "options", [{"retries": -1}, {"backoff_seconds": "x"}, {"timeout_seconds": 0}]
)
def test_a_policy_out_of_range_is_an_error(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        RetryPolicy(**options)

"""One URL -> one file: fetched into `<name>.part`, continued where it was cut, renamed when whole.

What has come is held against the kind that its name says, and its digest where one is known. A
part is continued only if the server still has the version that the sidecar names.
"""

import http.client
import logging
import re
from pathlib import Path
from urllib.error import HTTPError

from tqdm import tqdm

from vqe.downloading.connection import DownloadError, RetryPolicy, open_url, retry
from vqe.downloading.kinds import check_digest, check_kind
from vqe.downloading.sidecar import (
    RemoteFile,
    count_bytes,
    get_part,
    get_sidecar,
    read_sidecar,
    write_sidecar,
)

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20


def probe_file(url: str, policy: RetryPolicy, expected_bytes: int | None = None) -> RemoteFile:
    """Ask a server for the facts of a file.

    Raises:
        DownloadError: there is no such file, or it is not of the size expected.
    """

    def ask() -> RemoteFile:
        with open_url(url, policy, method="HEAD") as response:
            return _read_facts(response, url, expected_bytes)

    return retry(ask, url, policy)


def is_fetched(
    url: str, path: Path, policy: RetryPolicy, expected_bytes: int | None = None
) -> bool:
    """Tell whether a file is there and whole.

    A file that `fetch_file` brought is held against its sidecar, without a request; one from
    elsewhere against the server, and taken over if its size is right. A page that an earlier
    command took for the file is told by its kind.

    Raises:
        DownloadError: a file is there, and it is not the server's, or not of its kind.
    """
    if not path.exists():
        return False
    if not path.is_file():
        raise DownloadError(f"expected a file, got a folder or a device ({path}). Move it away")
    check_kind(path, path.name, url)
    known, size = read_sidecar(path), count_bytes(path)
    if known and known.url == url and known.size_bytes == size == (expected_bytes or size):
        return True
    remote = probe_file(url, policy, expected_bytes)
    if size != remote.size_bytes:
        raise DownloadError(
            f"expected {remote.size_bytes} bytes as {url} has, got {size} ({path}). "
            "Move the file away to fetch it anew"
        )
    get_part(path).unlink(missing_ok=True)  # perhaps of another version than the sidecar's
    write_sidecar(path, remote)
    return True


def fetch_file(
    url: str,
    path: Path,
    policy: RetryPolicy,
    expected_bytes: int | None = None,
    sha256: str | None = None,
) -> RemoteFile:
    """Fetch a file to `path`, which is whole once it is there.

    Args:
        url: http or https.
        path: the file to be; `get_part(path)` is continued if it is of the same version.
        policy: retries and pauses.
        expected_bytes: the size it should have; None takes the server's word.
        sha256: the digest it should have, in hex; None leaves it unchecked.

    Raises:
        DownloadError: the server has no such file, one of another size, kind or digest, or gives
            no answer.
    """
    part = get_part(path)
    with tqdm(desc=path.name, unit="B", unit_scale=True, unit_divisor=1000) as bar:
        remote = retry(
            lambda: _attempt(url, path, policy, expected_bytes, bar),
            url,
            policy,
            lambda: count_bytes(part),
        )
    try:
        check_kind(part, path.name, url)
        check_digest(part, sha256, url)
    except DownloadError:
        part.unlink()
        get_sidecar(path).unlink(missing_ok=True)
        raise
    part.replace(path)
    return remote


def _attempt(
    url: str, path: Path, policy: RetryPolicy, expected_bytes: int | None, bar: tqdm
) -> RemoteFile:
    """Fetch what is missing of the part, over one connection."""
    part, known = get_part(path), read_sidecar(path)
    have = count_bytes(part)
    if not _can_resume(known, url, have, expected_bytes):
        part.unlink(missing_ok=True)
        have = 0
    if have and have == known.size_bytes:
        return known
    headers = {"Range": f"bytes={have}-", "If-Range": known.validator} if have else {}
    with _open_part(url, policy, headers, part) as response:
        if have and response.status == http.HTTPStatus.PARTIAL_CONTENT:
            _check_range(response, known, have, part)
            remote = known
        else:
            if have:
                log.warning("%s: cannot be continued from byte %d, starting over", url, have)
            remote = _read_facts(response, url, expected_bytes)
            part.unlink(missing_ok=True)  # before the sidecar speaks of another version
            write_sidecar(path, remote)
        _append(response, part, remote.size_bytes, bar)
    return remote


def _open_part(
    url: str, policy: RetryPolicy, headers: dict[str, str], part: Path
) -> http.client.HTTPResponse:
    try:
        return open_url(url, policy, headers=headers)
    except HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)  # the file has become shorter than what is here
        raise


def _can_resume(known: RemoteFile | None, url: str, have: int, expected_bytes: int | None) -> bool:
    return bool(
        known
        and known.url == url
        and known.validator
        and have <= known.size_bytes == (expected_bytes or known.size_bytes)
    )


def _read_facts(
    response: http.client.HTTPResponse, url: str, expected_bytes: int | None
) -> RemoteFile:
    length = response.headers.get("Content-Length", "")
    if response.status != http.HTTPStatus.OK or not length.isdecimal():
        raise DownloadError(
            f"expected 200 and a Content-Length, got {response.status} and {length or 'none'} "
            f"({url}). Put the file into the data folder by hand"
        )
    if expected_bytes is not None and int(length) != expected_bytes:
        raise DownloadError(
            f"expected {expected_bytes} bytes, got a file of {length} ({url}). If the challenge "
            "has a new version, change its size in the config (conf/download.yaml)"
        )
    return RemoteFile(url, int(length), _read_validator(response))


def _read_validator(response: http.client.HTTPResponse) -> str | None:
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):  # a weak one is the same for files that differ
        return etag
    return response.headers.get("Last-Modified")


def _check_range(
    response: http.client.HTTPResponse, known: RemoteFile, have: int, part: Path
) -> None:
    """Raise ConnectionError, and drop the part, where the answer does not continue it."""
    content = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", content)
    validator = _read_validator(response) or known.validator
    if not match or (int(match[1]), int(match[2])) != (have, known.size_bytes):
        part.unlink()
        raise ConnectionError(
            f"expected a range from {have} of {known.size_bytes}, got Content-Range {content!r}"
        )
    if validator != known.validator:
        part.unlink()
        raise ConnectionError(f"expected version {known.validator}, got a range of {validator}")


def _append(response: http.client.HTTPResponse, part: Path, size_bytes: int, bar: tqdm) -> None:
    have = count_bytes(part)
    bar.reset(size_bytes)
    bar.initial = bar.n = have
    with part.open("ab") as file:
        while have < size_bytes:
            data = response.read1(min(CHUNK_BYTES, size_bytes - have))
            if not data:
                raise ConnectionError(f"expected {size_bytes} bytes, got a cut after {have}")
            file.write(data)
            have += len(data)
            bar.update(len(data))

"""URL -> an open HTTP response; what may pass by itself is tried again after growing pauses."""

import http.client
import logging
import re
import ssl
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

log = logging.getLogger(__name__)

Result = TypeVar("Result")

PASSING_STATUSES = frozenset({408, 416, 425, 429})  # and every 5xx
PASSING_ERRORS = (
    *(URLError, http.client.HTTPException, ConnectionError, TimeoutError),
    ssl.SSLError,
)
LONGEST_PAUSE_SECONDS = 60.0


class DownloadError(RuntimeError):
    """Something cannot be had, or what came is not what it should be."""


@dataclass(frozen=True)
class RetryPolicy:
    """How long to wait for a server.

    Attributes:
        retries: failures in a row, without a new byte between them, before giving up.
        backoff_seconds: pause after the first failure; it doubles up to a minute.
        timeout_seconds: of silence, after which a connection counts as cut.
    """

    retries: int = 8
    backoff_seconds: float = 1.0
    timeout_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name, least in (("retries", 0), ("backoff_seconds", 0), ("timeout_seconds", 1e-3)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or value < least:
                raise ValueError(f"expected {name} to be a number from {least}, got {value!r}")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow a redirect on the same host, or to https anywhere; never from https to less."""

    def redirect_request(self, request, file, code, message, headers, url):
        old, new = urlsplit(request.full_url), urlsplit(url)
        same_place = (old.scheme, old.hostname) == (new.scheme, new.hostname)
        if new.scheme != "https" and not same_place:
            file.close()
            raise DownloadError(
                f"expected a redirect to https, got one to {url} ({request.full_url}). "
                "If that is where the file is now, name it in the config (conf/download.yaml)"
            )
        return super().redirect_request(request, file, code, message, headers, url)


def open_url(
    url: str, policy: RetryPolicy, *, method: str = "GET", headers: dict[str, str] | None = None
) -> http.client.HTTPResponse:
    """Open a URL, once.

    Raises:
        ValueError: it is no http or https URL.
        DownloadError: it redirects to another host, and not by https.
        OSError: the server cannot be reached or answers with an error; see `retry`.
    """
    if not re.fullmatch(r"https?://\S+", url):
        raise ValueError(f"expected a URL that starts with http:// or https://, got {url!r}")
    request = urllib.request.Request(
        url, headers={"User-Agent": "vqe", **(headers or {})}, method=method
    )
    return _make_opener().open(request, timeout=policy.timeout_seconds)


def _make_opener() -> urllib.request.OpenerDirector:
    """Make an opener for http and https alone; the usual one has ftp, file and data as well."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        *(urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler),
        *(urllib.request.HTTPErrorProcessor, urllib.request.HTTPDefaultErrorHandler, _Redirects),
    ):
        opener.add_handler(handler())
    return opener


def retry(
    attempt: Callable[[], Result],
    url: str,
    policy: RetryPolicy,
    count_bytes: Callable[[], int] = lambda: 0,
) -> Result:
    """Call `attempt` until it ends well.

    Args:
        attempt: what to do; it continues what an earlier call left.
        url: the URL in question, for messages.
        policy: how often and with what pauses.
        count_bytes: what is there so far. Failures count anew once there is more than ever
            before: a long download may be cut many times, but must get on.

    Raises:
        DownloadError: the error will not pass by itself, or there is no retry left.
    """
    failures, most = 0, count_bytes()
    while True:
        try:
            return attempt()
        except PASSING_ERRORS as error:
            reason = _explain(error)
            if not _may_pass(error):
                raise DownloadError(_advise(error, reason, url)) from error
        failures = 1 if count_bytes() > most else failures + 1
        most = max(most, count_bytes())
        if failures > policy.retries:
            raise DownloadError(
                f"expected an answer within {failures} attempts, got {reason} ({url}). Run the "
                "same command later: it continues from what is there"
            )
        pause = min(policy.backoff_seconds * 2 ** (failures - 1), LONGEST_PAUSE_SECONDS)
        counted = f"retry {failures} of {policy.retries} in {pause:g} s"
        log.warning("%s: %s; %s", url, reason, counted)
        time.sleep(pause)


def _may_pass(error: Exception) -> bool:
    if isinstance(error, HTTPError):
        return error.code >= 500 or error.code in PASSING_STATUSES
    cause = error.reason if isinstance(error, URLError) else error
    return not isinstance(cause, ssl.SSLCertVerificationError | http.client.InvalidURL)


def _explain(error: Exception) -> str:
    if isinstance(error, HTTPError):
        error.close()
        return f"{error.code} {error.reason}"
    cause = error.reason if isinstance(error, URLError) else error
    return str(cause) or type(cause).__name__


def _advise(error: Exception, reason: str, url: str) -> str:
    if isinstance(error, HTTPError):
        advice = (
            "Look whether the file has moved and name its new place in the config "
            "(conf/download.yaml), or put the file into the data folder by hand"
        )
    else:
        advice = "Fix the URL in the config (conf/download.yaml), or this machine's certificates"
    return f"expected a file, got {reason} ({url}). {advice}"

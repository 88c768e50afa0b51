"""A study's key -> tokens that only the study can make: one for each rater, one for the admin."""

import base64
import hashlib
import hmac
import secrets

ID_BYTES = 9
SIGNATURE_BYTES = 15


def new_rater() -> str:
    """Return an id drawn at random: it says nothing about a person."""
    return _encode(secrets.token_bytes(ID_BYTES))


def sign_rater(rater: str, key: bytes) -> str:
    """Return the token of a rater's link."""
    return f"{rater}.{_sign(f'rater:{rater}', key)}"


def read_rater(token: str, key: bytes) -> str | None:
    """Return whose token it is, None where nobody's."""
    rater, _, _ = token.partition(".")
    return rater if hmac.compare_digest(sign_rater(rater, key).encode(), token.encode()) else None


def admin_token(key: bytes) -> str:
    """Return the token of the admin page."""
    return _sign("admin", key)


def is_admin(token: str, key: bytes) -> bool:
    """Whether a token is the admin's."""
    return hmac.compare_digest(admin_token(key).encode(), token.encode())


def _sign(text: str, key: bytes) -> str:
    return _encode(hmac.digest(key, text.encode(), hashlib.sha256)[:SIGNATURE_BYTES])


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

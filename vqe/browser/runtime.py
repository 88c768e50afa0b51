"""onnxruntime-web, which runs networks in browsers -> a folder with its files, each by its digest.

It is fetched when it is asked for, by npm, and never by itself.
"""

import logging
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from vqe.files import complete_or_absent, hash_file

log = logging.getLogger(__name__)

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
PACKAGE_SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
FILES = {  # name in the package's folder `dist` -> SHA-256
    SCRIPT: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
CACHE = f"vqe/{PACKAGE}-{VERSION}"  # below the user's folder for caches


def get_cache() -> Path:
    """Return the folder that `fetch_runtime` fills."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / CACHE


def find_runtime(folder: str | Path | None) -> dict[str, Path]:
    """Return the runtime's files by name.

    Args:
        folder: that holds them; None looks into the cache.

    Raises:
        FileNotFoundError: they are not there.
        ValueError: they are of another version, or damaged.
    """
    place = get_cache() if folder is None else Path(folder)
    files = {name: place / name for name in FILES}
    for path in files.values():
        if not path.is_file():
            raise FileNotFoundError(
                f"expected {PACKAGE} {VERSION}, which runs networks in browsers, got no {path}. "
                "Do: python live.py fetch=true, which takes it from npm (45 MB, once)"
            )
    for name, path in files.items():
        found = hash_file(path)
        if found != FILES[name]:
            raise ValueError(
                f"expected {name} of {PACKAGE} {VERSION} with SHA-256 {FILES[name]}, got {found} "
                f"({path}). Remove it and do: python live.py fetch=true"
            )
    return files


def fetch_runtime(cache: Path) -> None:
    """Get the runtime by `npm pack`, check it and keep what is needed of it.

    Args:
        cache: the folder to be.

    Raises:
        RuntimeError: there is no npm, or it could not get the package.
        ValueError: what came is not what it should be.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(
            f"expected npm to get {PACKAGE} {VERSION} with, got none. Install Node.js, or unpack "
            "that package elsewhere and name its folder: runtime=<folder>/dist"
        )
    with tempfile.TemporaryDirectory() as scratch:
        command = [npm, "pack", "--silent", f"{PACKAGE}@{VERSION}"]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        packed = Path(scratch) / f"{PACKAGE}-{VERSION}.tgz"
        if done.returncode or not packed.is_file():
            said = (done.stderr.strip() or done.stdout.strip() or "nothing said").splitlines()[-1]
            raise RuntimeError(
                f"expected npm to get {PACKAGE}@{VERSION}, got: {said}. Is there a network?"
            )
        unpack_runtime(packed, cache)
    log.info("%s %s is in %s", PACKAGE, VERSION, cache)


def unpack_runtime(packed: Path, cache: Path) -> None:
    """Take the needed files out of the package.

    Raises:
        ValueError: the package or a file in it is not what it should be.
    """
    found = hash_file(packed)
    if found != PACKAGE_SHA256:
        raise ValueError(
            f"expected {PACKAGE} {VERSION} with SHA-256 {PACKAGE_SHA256}, got {found}. "
            "Somebody changed the package: do not use it"
        )
    with complete_or_absent(cache) as part, tarfile.open(packed) as archive:
        part.mkdir()
        for name in FILES:
            (part / name).write_bytes(archive.extractfile(f"package/dist/{name}").read())

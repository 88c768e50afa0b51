"""onnxruntime-web: found where it is whole, fetched when asked, refused where it is another."""

import hashlib
import os
import tarfile
from pathlib import Path

import pytest

from vqe.browser import runtime
from vqe.browser.runtime import FILES, PACKAGE, VERSION, fetch_runtime, find_runtime, get_cache


def write_npm(folder, body):
    """Put a command npm that does this in front of all others."""
    npm = folder / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f"#!/bin/sh\n{body}\n")
    npm.chmod(0o755)
    return f"{npm.parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package whose files have the digests that are asked for."""
    contents = {name: f"in place of {name}".encode() for name in FILES}
    path = tmp_path / "package.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {**contents, "ort.other.mjs": b"more"}.items():
            file = tmp_path / name
            file.write_bytes(content)
            archive.add(file, f"package/dist/{name}")
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(runtime, "FILES", digests)
    monkeypatch.setattr(runtime, "PACKAGE_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_what_is_not_there_is_told_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"Do: python live\.py fetch=true"):
        find_runtime(None)
    assert list(tmp_path.iterdir()) == []  # and nothing is fetched


def test_npm_brings_it_and_it_is_found(package, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    body = f'echo "$@" > {tmp_path}/asked; cp {package} {PACKAGE}-{VERSION}.tgz'
    monkeypatch.setenv("PATH", write_npm(tmp_path, body))
    fetch_runtime(get_cache())
    assert f"pack --silent {PACKAGE}@{VERSION}\n" == Path(tmp_path, "asked").read_text()
    files = find_runtime(None)
    assert {name: path.parent for name, path in files.items()} == dict.fromkeys(FILES, get_cache())
    assert sorted(path.name for path in get_cache().iterdir()) == sorted(FILES)


def test_another_file_of_the_same_name_is_refused(package, tmp_path):
    files = find_runtime(tmp_path)
    name, path = next(iter(files.items()))
    path.write_bytes(b"other")
    with pytest.raises(ValueError, match=f"expected {name} of {PACKAGE} {VERSION} with SHA-256"):
        find_runtime(tmp_path)


def test_a_changed_package_is_refused(package, tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "PACKAGE_SHA256", "0" * 64)
    monkeypatch.setenv("PATH", write_npm(tmp_path, f"cp {package} {PACKAGE}-{VERSION}.tgz"))
    with pytest.raises(ValueError, match="Somebody changed the package"):
        fetch_runtime(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_npm_s_last_words_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", write_npm(tmp_path, "echo 'npm error no network' >&2; exit 1"))
    with pytest.raises(RuntimeError, match="got: npm error no network"):
        fetch_runtime(tmp_path / "cache")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="expected npm to get"):
        fetch_runtime(tmp_path / "cache")

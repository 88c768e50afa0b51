"""Published URLs -> data folder: archives fetched, unpacked and counted, and the critics' weights.

python download.py data.target_dir=<data> parts=train,test,weights
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from omegaconf import DictConfig, OmegaConf

from vqe.downloading.archive import read_unpacked_bytes, unpack_archive
from vqe.downloading.connection import DownloadError, RetryPolicy
from vqe.downloading.fetch import fetch_file, is_fetched, probe_file
from vqe.downloading.sidecar import count_bytes, get_part, get_sidecar
from vqe.downloading.space import Need, check_space
from vqe.downloading.verify import Counts, check_counts, count_files
from vqe.locks import hold_folder

log = logging.getLogger(__name__)

WEIGHTS = "weights"  # the part that is no archive


@dataclass(frozen=True, eq=False)
class Item:
    """A file to fetch.

    Attributes:
        url: where from.
        path: where to.
        file_bytes: its size, None where the server's word is taken.
        folder: what an archive becomes, else None.
        counts: what an archive holds, else None.
        sha256: its digest, None where it is not known.
    """

    url: str
    path: Path
    file_bytes: int | None = None
    folder: Path | None = None
    counts: Counts | None = None
    sha256: str | None = None


def download(
    *,
    target_dir: str | Path,
    parts: str | list[str],
    archives: Mapping[str, Mapping],
    weights: Mapping[str, str | None],
    digests: Mapping[str, str | None] | None = None,
    keep_archives: bool = False,
    policy: RetryPolicy | None = None,
) -> list[Path]:
    """Fetch what is missing of the parts; one that fails does not stop the others.

    Args:
        target_dir: the data folder; made where it is missing.
        parts: of the archives' names and "weights", as a list or with commas.
        archives: name -> url, archive_bytes, unpacked_bytes and files by subset, as in
            conf/download.yaml.
        weights: URLs by name; None leaves one out.
        digests: SHA-256 in hex by the name of an archive or weights; None where it is not known.
        keep_archives: leave the archives beside the folders made of them.
        policy: retries and pauses.

    Returns:
        The files and folders that are new.

    Raises:
        DownloadError: something failed, and the message names all of it; or nothing was begun, as
            the disk has too little space.
        FolderHeldError: another command is writing into the folder.
        ValueError: a part has no such name.
    """
    target_dir, policy = Path(target_dir).absolute(), policy or RetryPolicy()
    names = _split_parts(parts, [*archives, WEIGHTS])
    items = _list_items(names, target_dir, archives, weights, digests or {})
    target_dir.mkdir(parents=True, exist_ok=True)
    failures: dict[Item, str] = {}
    with hold_folder(target_dir):
        needs = _try_each(items, lambda item: _plan(item, policy, keep_archives), failures)
        needs = {item: need for item, need in needs.items() if need}
        if needs:
            check_space(target_dir, needs.values())
        made = _try_each(needs, lambda item: _make(item, policy, keep_archives), failures)
    if failures:
        listing = "\n".join(f"  {item.path.name}: {words}" for item, words in failures.items())
        raise DownloadError(
            f"{len(failures)} of {len(items)} files failed; what else was asked for is in "
            f"{target_dir}:\n{listing}"
        )
    log.info("all of %s is in %s", ", ".join(item.path.name for item in items), target_dir)
    return list(made.values())


def _split_parts(parts: str | list[str], valid: list[str]) -> list[str]:
    names = [name.strip() for name in (parts.split(",") if isinstance(parts, str) else parts)]
    unknown = [name for name in names if name not in valid]
    if unknown or not names:
        raise ValueError(f"expected parts to be of {', '.join(valid)}, got {unknown or 'none'}")
    return [name for name in valid if name in names]


def _list_items(
    parts: list[str],
    target_dir: Path,
    archives: Mapping[str, Mapping],
    weights: Mapping[str, str | None],
    digests: Mapping[str, str | None],
) -> list[Item]:
    items = []
    for part in (name for name in parts if name != WEIGHTS):
        url, known = archives[part]["url"], archives[part]
        counts = Counts(known["files"], known["unpacked_bytes"])
        place = target_dir / _read_name(url)
        size = known["archive_bytes"]
        items.append(Item(url, place, size, target_dir / part, counts, digests.get(part)))
    if WEIGHTS in parts:
        items += [
            Item(url, target_dir / _read_name(url), sha256=digests.get(name))
            for name, url in weights.items()
            if url
        ]
    return items


def _read_name(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).name


def _try_each(items: Mapping | list, step: Callable, failures: dict[Item, str]) -> dict[Item, Any]:
    """Return what `step` returns for each item, and note those that fail."""
    done = {}
    for item in items:
        try:
            done[item] = step(item)
        except (DownloadError, OSError) as error:
            failures[item] = str(error)
            log.error("%s: %s", item.path.name, error)
    return done


def _plan(item: Item, policy: RetryPolicy, keep_archives: bool) -> Need | None:
    """Return the space that an item needs, None if it is there."""
    if item.folder and item.folder.is_dir() and any(item.folder.iterdir()):
        _check_folder(item)
        log.info("%s is there and whole", item.folder)
        return None
    if is_fetched(item.url, item.path, policy, item.file_bytes):
        size, have = count_bytes(item.path), count_bytes(item.path)
        if not item.folder:
            log.info("%s is there and whole", item.path)
            return None
    else:
        size = probe_file(item.url, policy, item.file_bytes).size_bytes
        have = min(size, count_bytes(get_part(item.path)))
    if not item.folder:
        return Need(size - have)
    return Need(
        fetch_bytes=size - have,
        unpack_bytes=item.counts.size_bytes or size,  # pictures and videos do not shrink
        unpack_files=sum(item.counts.files.values()),
        freed_bytes=0 if keep_archives else size,
    )


def _check_folder(item: Item) -> None:
    """Hold a folder that is there against the counts, its own where the config has none."""
    size_bytes = item.counts.size_bytes or read_unpacked_bytes(item.folder)
    expected = Counts(item.counts.files, size_bytes)
    advice = f"Move the folder away to have {item.path.name} unpacked in its place"
    check_counts(count_files(item.folder, expected), expected, item.folder, advice)


def _make(item: Item, policy: RetryPolicy, keep_archives: bool) -> Path:
    """Fetch an item, and unpack it if it is an archive."""
    if not item.path.exists():  # else the plan has found it whole
        fetch_file(item.url, item.path, policy, item.file_bytes, item.sha256)
    if not item.folder:
        return item.path
    unpack_archive(item.path, item.folder, item.counts)
    if not keep_archives:
        item.path.unlink()
        get_sidecar(item.path).unlink(missing_ok=True)
    return item.folder


def download_as_configured(cfg: DictConfig) -> list[Path]:
    """Download what a config describes; see `download`."""
    options = OmegaConf.to_container(cfg, resolve=True)
    try:
        return download(
            target_dir=cfg.data.target_dir,
            parts=options["parts"],
            archives=options["archives"],
            weights=options["weights"],
            digests=options["digests"],
            keep_archives=cfg.keep_archives,
            policy=RetryPolicy(cfg.retries, cfg.backoff_seconds, cfg.timeout_seconds),
        )
    except KeyboardInterrupt:
        log.error("interrupted; the same command continues from what is there")
        raise

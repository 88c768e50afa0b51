"""Networks, the runtime and our pages -> the files of a site, by their places in it."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from vqe.browser.map_export import BrowserNetwork, prepare_network
from vqe.browser.runtime import VERSION
from vqe.inference.weights import find_weights
from vqe.web import PAGE_HEADERS

log = logging.getLogger(__name__)

Site = dict[str, Path | bytes]

PAGES = Path(__file__).with_name("pages")
INDEX = "index.html"
RUNTIME = "runtime"  # folder of onnxruntime-web
MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".onnx": "application/octet-stream",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
        "style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
        "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Embedder-Policy": "require-corp",  # with the opener policy: threads
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=(), display-capture=()",
    **PAGE_HEADERS,
}


def build_site(weights: Sequence[str], runtime: dict[str, Path]) -> Site:
    """Return the site's files: places -> contents.

    Args:
        weights: of each network: a shipped one's name, a `network.onnx` or a checkpoint.
        runtime: files of onnxruntime-web by name.

    Raises:
        FileNotFoundError: there is no such network.
        ValueError: a file is no network, or two are given under one name.
    """
    site: Site = {path.name: path for path in sorted(PAGES.iterdir()) if path.is_file()}
    site |= {f"{RUNTIME}/{name}": path for name, path in runtime.items()}
    listed: list[dict] = []
    for number, given in enumerate(weights):
        found = find_weights(given, None)
        network = prepare_network(found.to_onnx())
        place = f"networks/{number}.onnx"
        site[place] = network.content
        listed.append({"name": name_network(given), "digest": found.digest, "file": place})
        listed[-1] |= network.facts
        _tell(listed[-1]["name"], network)
    names = [network["name"] for network in listed]
    if len(set(names)) < len(names):
        raise ValueError(f"expected networks of different names, got {', '.join(names)}")
    script, wasm = (f"{RUNTIME}/{name}" for name in runtime)
    told = {
        "version": VERSION,
        "runtimes": {"wasm": {"script": script, "wasm": wasm}},
        "networks": listed,
    }
    return site | {"networks.json": json.dumps(told, indent=1).encode()}


def name_network(weights: str | Path) -> str:
    """Return what a network is called on the page; of a path no more than its end."""
    path = Path(weights)
    return str(PurePosixPath(*path.parts[-2:])) if path.suffix else str(weights)


def find_media_type(place: str) -> str:
    """Return what a file of the site is."""
    return MEDIA_TYPES[PurePosixPath(place).suffix]


def _tell(name: str, network: BrowserNetwork) -> None:
    if network.facts["kind"] == "maps":
        log.info("%s: sees a small picture, and a shader applies its maps", name)
    else:
        log.info("%s: runs on whole frames in the browser, which is slow there", name)

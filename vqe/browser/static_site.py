"""A site -> a folder that any web server can serve, with the headers it needs beside it."""

from pathlib import Path

from vqe.browser.site import HEADERS, Site
from vqe.files import complete_or_absent

HEADERS_FILE = "headers.txt"
HEADERS_TEXT = """\
Send these headers with every file of this folder. Without the two Cross-Origin-*-Policy of
opener and embedder the network runs on one thread; https:// or localhost is needed for the camera.

"""


def write_static_site(site: Site, folder: Path) -> None:
    """Write all files of a site, complete or absent.

    Raises:
        FileExistsError: there is something in the folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"expected export to name a new or an empty folder, got {folder}")
    with complete_or_absent(folder) as part:
        for place, content in site.items():
            path = part / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        lines = "\n".join(f"{name}: {value}" for name, value in HEADERS.items())
        (part / HEADERS_FILE).write_text(f"{HEADERS_TEXT}{lines}\n", encoding="utf-8")

"""A page of `live.py`, served here and driven in chromium with a file as its camera."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import uvicorn
from playwright.sync_api import Browser, BrowserType, Page, sync_playwright

from vqe.browser.server import bind, build_app
from vqe.browser.site import Site

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    # WebGL by the CPU
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
PATIENCE_SECONDS = 120
CAMERA = ["--use-fake-device-for-media-stream"]


def write_y4m(path: Path, frames: list[np.ndarray], fps: int = 30) -> Path:
    """Write uint8 RGB frames [H,W,3] of even sizes as raw 4:2:0 video, BT.601 of limited range."""
    height, width = frames[0].shape[:2]
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            file.write(b"FRAME\n")
            file.write(cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes())
    return path


@contextmanager
def serve_site(site: Site) -> Iterator[str]:
    """Serve a site from a thread; hand out its address."""
    with bind("127.0.0.1", 0) as place:
        config = uvicorn.Config(build_app(site), log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{place.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def open_chromium(camera: Path) -> Iterator[Browser]:
    """Hand out a chromium whose camera plays a y4m file, in a loop."""
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium, camera)
        try:
            yield browser
        finally:
            browser.close()


def launch(kind: BrowserType, camera: Path, *, allow: bool = True) -> Browser:
    """Start a chromium with a file as its camera.

    Args:
        kind: of playwright.
        camera: a y4m file.
        allow: whether pages may use the camera; else they are refused.
    """
    answer = ["--use-fake-ui-for-media-stream"] if allow else []
    source = f"--use-file-for-fake-video-capture={camera.resolve()}"
    arguments = [*ARGUMENTS, *CAMERA, *answer, source]
    return kind.launch(executable_path=CHROMIUM, args=arguments)


def wait_until(page: Page, expression: str) -> None:
    """Wait until something is true on the page, whose policy forbids playwright's own way."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not page.evaluate(expression):
        if time.monotonic() > end:
            said = page.text_content("#notice")
            raise TimeoutError(f"expected {expression} on the page, got none; it says: {said}")
        page.wait_for_timeout(50)


def wait_for_network(page: Page) -> None:
    """Wait until frames have been through the network."""
    wait_until(page, "picture.network && picture.stats?.steps > 2")


def read_stats(page: Page, seconds: float) -> dict:
    """Return the page's figures, rates as means over some seconds."""
    first = page.evaluate("({...picture.stats, at: performance.now()})")
    page.wait_for_timeout(1000 * seconds)
    last = page.evaluate("({...picture.stats, at: performance.now()})")
    spent = (last["at"] - first["at"]) / 1000
    return last | {
        "drawn_fps": (last["drawn"] - first["drawn"]) / spent,
        "network_fps": (last["steps"] - first["steps"]) / spent,
    }


def save_picture(page: Page) -> np.ndarray:
    """Press the page's button; return what it saves, uint8 RGB [H,W,3]."""
    with page.expect_download() as download:
        page.click("#save")
    saved = np.fromfile(download.value.path(), np.uint8)
    return cv2.cvtColor(cv2.imdecode(saved, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

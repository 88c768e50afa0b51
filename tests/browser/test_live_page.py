"""The page in chromium, with a file as its camera: what is drawn, told, kept and let go."""

import functools
import http.server
import threading
from contextlib import contextmanager

import av
import cv2
import numpy as np
import pytest
from conftest import draw_frame
from needed_runtime import need_runtime
from network_checks import build_small, perturb

from vqe.browser.site import build_site
from vqe.browser.static_site import write_static_site
from vqe.export.onnx import export_onnx
from vqe.inference.enhancer import Enhancer
from vqe.models import Base
from vqe.pixels import from_unit
from vqe.video.facts import BT709, LIMITED, ColourTags
from vqe.video.planes import SampleScale, view_planes

pytest.importorskip("playwright.sync_api")
from camera_page import (
    CHROMIUM,
    launch,
    open_chromium,
    save_picture,
    serve_site,
    wait_for_network,
    wait_until,
    write_y4m,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium"),
]
HEIGHT, WIDTH = 144, 192
MOST_LEVELS, MEAN_LEVELS = 3, 1
NAME = "<b>&\"x'ü"  # of a network's folder


@pytest.fixture(scope="module")
def networks(nano_onnx, tmp_path_factory):
    """A nano, and a base in a folder whose name is full of signs."""
    path = tmp_path_factory.mktemp("networks") / NAME / "network.onnx"
    base = perturb(build_small(Base), scale=0.02).eval()
    export_onnx(base, path, check_sizes=((48, 64),))
    return [nano_onnx, path]


@pytest.fixture(scope="module")
def site(networks):
    return build_site([str(path) for path in networks], need_runtime())


@pytest.fixture(scope="module")
def url(site):
    with serve_site(site) as url:
        yield url


@pytest.fixture(scope="module")
def camera(tmp_path_factory):
    """One picture, again and again; smooth, as browsers interpolate colours where they make RGB."""
    colours = np.random.default_rng(5).uniform(112, 128, (3, 4, 3)).astype(np.float32)
    picture = cv2.resize(colours, (WIDTH, HEIGHT)).round().astype(np.uint8)
    return write_y4m(tmp_path_factory.mktemp("camera") / "camera.y4m", [picture] * 4)


@pytest.fixture(scope="module")
def browser(camera):
    with open_chromium(camera) as browser:
        yield browser


@pytest.fixture(scope="module")
def context(browser):
    """Pages share what is remembered of backends: each is measured once."""
    return browser.new_context(viewport={"width": 1280, "height": 900})


@contextmanager
def watched(page, url):
    """A page that may speak with the server alone, and has nothing to complain of."""
    complaints, foreign = [], []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda r: (
            None if r.url.startswith((url, f"blob:{url}", "data:")) else foreign.append(r.url)
        ),
    )
    page.goto(url)
    yield page
    page.close()
    assert complaints == []
    assert foreign == []


@pytest.fixture
def page(context, url):
    with watched(context.new_page(), url) as page:
        yield page


def start_camera(page):
    page.click("#camera")
    wait_for_network(page)


def settle(page, steps=2):
    """Wait until frames have come after what was just changed."""
    wait_until(page, f"(window.from ??= picture.stats.steps) + {steps} <= picture.stats.steps")
    page.evaluate("delete window.from")


def read_camera(path):
    """Return the camera's picture as chromium takes it, whose cameras are BT.709."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        samples = view_planes(frame)
        return SampleScale(ColourTags(BT709, LIMITED, 2, 2), 8).to_rgb(samples).copy()


def enhance(network, planes):
    return from_unit(Enhancer(network, device="cpu").planes(planes), np.uint8)


def assert_equal(found, expected):
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= MOST_LEVELS
    assert difference.mean() < MEAN_LEVELS


def test_pixels_equal_python_s(page, camera, networks):
    start_camera(page)
    planes = read_camera(camera)
    expected = enhance(networks[0], planes)
    plain = from_unit(planes, np.uint8)
    assert np.abs(expected.astype(int) - plain).mean() > 5  # the network does something
    settle(page)
    shown = save_picture(page)  # the line is in the middle
    half = WIDTH // 2
    assert_equal(shown[:, :half], plain[:, :half])
    assert_equal(shown[:, half:], expected[:, half:])
    page.uncheck("#compare")
    settle(page)
    assert_equal(save_picture(page), expected)
    page.fill("#strength", "50")
    settle(page)
    strength = plain + 0.5 * (expected.astype(float) - plain)
    assert_equal(save_picture(page), strength.round().astype(int))
    page.uncheck("#enhance")
    wait_until(page, "picture.hasAttribute('off')")
    assert_equal(save_picture(page), plain)


def test_both_ways_of_taking_frames_show_the_same(page, camera, networks):
    start_camera(page)
    page.uncheck("#compare")
    expected = enhance(networks[0], read_camera(camera))
    for direct in ("true", "false"):
        page.evaluate(f"picture.renderer.frame.direct = {direct}")
        settle(page)
        form = page.evaluate("picture.renderer.frame.form")
        assert (form == "RGBA") == (direct == "true")
        assert_equal(save_picture(page), expected)


def test_a_network_that_runs_whole_does_and_says_what_it_costs(page, camera, networks):
    start_camera(page)
    page.uncheck("#compare")
    page.select_option("#network", f"{NAME}/network.onnx")
    wait_until(page, "picture.stats.kind === 'whole' && picture.renderer.hasEnhanced")
    wait_until(page, "notice.textContent.includes(' s for a frame of this size')")
    assert_equal(save_picture(page), enhance(networks[1], read_camera(camera)))


def test_names_are_shown_as_they_are(page):
    wait_until(page, "network.options.length === 2")
    assert page.text_content("#network option:nth-child(2)").startswith(f"{NAME}/network.onnx")
    assert page.query_selector("b") is None


def test_frames_are_let_go_and_the_backend_is_the_one_that_runs(page):
    start_camera(page)
    drawn = page.evaluate("picture.stats.drawn")
    wait_until(page, f"picture.stats.drawn > {drawn} + 5")
    assert page.evaluate("crossOriginIsolated")
    label = page.text_content("#backend")
    threads = page.evaluate("picture.network.backend.threads")
    assert label == f"WebAssembly, {threads} thread{'s' if threads > 1 else ''}"
    page.click("#stop")
    wait_until(page, "!picture.loop.busy")
    opened, closed = page.evaluate("[picture.loop.opened, picture.loop.closed]")
    assert opened == closed > 5
    assert page.is_visible("#empty")


def test_the_line_moves_by_keys_and_by_the_mouse(page):
    start_camera(page)
    line = page.locator("enhanced-video .line")
    line.focus()
    for key, place in {
        "Home": 0,
        "End": 100,
        "ArrowLeft": 99,
        "PageDown": 89,
        "ArrowUp": 90,
    }.items():
        page.keyboard.press(key)
        assert line.get_attribute("aria-valuenow") == str(place)
    box = page.locator("enhanced-video").bounding_box()
    line.hover()
    page.mouse.down()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 20)
    page.mouse.up()
    assert line.get_attribute("aria-valuenow") == "25"
    page.uncheck("#compare")
    assert line.is_hidden()
    page.check("#compare")
    assert line.get_attribute("aria-valuenow") == "25"


def test_a_new_size_and_a_new_scene_are_told(page):
    start_camera(page)
    said = []
    page.expose_function("hear", lambda text: said.append(text))
    page.evaluate("picture.addEventListener('notice', (e) => hear(e.detail.text))")
    page.click("#clip")
    wait_until(page, "picture.renderer.width === 1280")
    wait_until(page, "picture.stats.cuts > 0")
    assert "The picture is 1280 x 720." in said
    assert "A new scene: its light is measured afresh." in said
    assert page.evaluate("picture.network !== null")


def test_a_file_plays(page, tmp_path):
    start_camera(page)
    path = tmp_path / "clip.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(10):
            frame = av.VideoFrame.from_ndarray(draw_frame(1, i, 48, 64), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    page.set_input_files("#chosen", path)
    wait_until(page, "picture.renderer.width === 64 && picture.stats.steps > 2")
    page.set_input_files("#chosen", {"name": "a.mp4", "mimeType": "video/mp4", "buffer": b"none"})
    wait_until(page, "notice.textContent === 'This browser cannot play this file.'")


def test_an_unplugged_camera_is_told(page):
    start_camera(page)
    page.evaluate("picture.video.srcObject.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    assert "The camera is gone" in page.text_content("#notice")
    wait_until(page, "document.getElementById('stop').disabled")
    assert not page.evaluate("picture.loop.running")


def test_a_hidden_page_says_that_the_picture_stood_still(page):
    start_camera(page)
    for hidden in ("true", "false"):
        page.evaluate(
            f"Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
    assert "the picture stood still" in page.text_content("#notice")


def test_a_lost_graphics_card_is_told_and_comes_back(page):
    start_camera(page)
    page.evaluate("window.card = picture.renderer.gl.getExtension('WEBGL_lose_context')")
    page.evaluate("card.loseContext()")
    wait_until(page, "notice.textContent.startsWith('The graphics card was taken away')")
    page.evaluate("card.restoreContext()")
    wait_until(page, "!picture.renderer.lost && picture.renderer.width > 0")
    settle(page)
    assert page.evaluate("picture.renderer.hasMaps")


def test_a_recording_has_picture_and_sound(page, tmp_path):
    start_camera(page)
    page.click("#record")
    wait_until(page, "record.textContent === 'Stop recording'")
    drawn = page.evaluate("picture.stats.drawn")
    wait_until(page, f"picture.stats.drawn > {drawn} + 20")
    with page.expect_download() as download:
        page.click("#record")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    with av.open(str(path)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (
            WIDTH,
            HEIGHT,
        )
        assert len(container.streams.audio) == 1
        assert sum(1 for _ in container.decode(video=0)) > 3


def test_a_refused_camera_is_told(url, camera, browser):
    other = launch(browser.browser_type, camera, allow=False)
    with watched(other.new_page(), url) as page:
        page.click("#camera")
        wait_until(page, "notice.textContent.startsWith('The camera is not allowed.')")
        assert page.is_visible("#empty")
    other.close()


def test_without_script_the_page_says_so(browser, url):
    page = browser.new_page(java_script_enabled=False)
    page.goto(url)
    assert "switch JavaScript on" in page.text_content("noscript")
    page.close()


@pytest.mark.parametrize("width", [1280, 420])
def test_nothing_is_wider_than_the_window(width, page):
    page.set_viewport_size({"width": width, "height": 800})
    start_camera(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_element_gives_a_track_on_another_page_without_headers(site, tmp_path, browser):
    write_static_site(site, tmp_path / "site")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "site")
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/example.html")
        wait_for_network(page)
        track = "(async () => (await import('/example.js')).track.readyState)()"
        assert page.evaluate(track) == "live"
        assert not page.evaluate("crossOriginIsolated")
        assert page.evaluate("picture.stats.backend") == "WebAssembly, 1 thread"
        page.close()
        server.shutdown()

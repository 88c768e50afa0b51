"""The report in chromium, from disk: offline, no complaint; by mouse, keys, and without script."""

import io
import json
import re
from pathlib import Path
from urllib.parse import quote

import html5lib
import numpy as np
import pandas as pd
import pytest
from chromium import open_browser
from conftest import HANGS
from tested_runs import BRIGHTER, HOSTILE, make_runs, write_large_run, write_report

from vqe.reporting.page import to_json

MANY = 3000


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return make_runs(tmp_path_factory)


@pytest.fixture(scope="module")
def one(runs):
    return runs[0] / "report.html"  # as `report=true` leaves it


@pytest.fixture(scope="module")
def two(runs, tmp_path_factory):
    return write_report(tmp_path_factory.mktemp("two") / "two.html", *runs, videos="true")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    root = tmp_path_factory.mktemp("many")
    return write_report(root / "report.html", write_large_run(root / "run", MANY, 8))


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


@pytest.fixture
def visit(browser):
    """Return a function that opens a file in a page which must not ask for anything else."""
    contexts, complaints, foreign = [], [], []

    def open_file(path: Path, fragment: str = "", **options):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        context.set_default_timeout(HANGS * 1000)
        page = context.new_page()
        own = path.parent.as_uri()
        page.on("console", lambda m: complaints.append(m.text) if m.type != "log" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda r: None if r.url.startswith((own, "data:", "blob:")) else foreign.append(r.url),
        )
        page.goto(path.as_uri() + fragment)
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert complaints == []
    assert foreign == []


def read_at(stage):
    return stage.evaluate("e => parseFloat(e.style.getPropertyValue('--at'))")


def scroll_to(page, anchor="video_0012"):
    """Scroll to a video, whose slider is then made; return its place."""
    video = page.locator(f"[id='{anchor}']")
    video.scroll_into_view_if_needed()
    video.locator(".stage").first.wait_for()
    return video


def test_pictures_are_whole_and_the_file_is_small(visit, one):
    page = visit(one)
    sizes = page.evaluate(
        """async () => {
        const pictures = [...document.images];
        await Promise.all(pictures.map((picture) => picture.decode()));
        return pictures.map((picture) => [picture.naturalWidth, picture.alt]);
    }"""
    )
    assert len(sizes) >= 5 * 2 * 2  # videos, frames, sides
    assert all(width == 64 and alt for width, alt in sizes)
    assert one.stat().st_size < 10e6


def test_names_are_shown_as_they_are(visit, one):
    page = visit(one)
    assert page.evaluate("typeof hacked") == "undefined"
    assert page.locator("#hacked").count() == 0
    headings = page.locator(".video h3").all_text_contents()
    assert sorted(set(headings)) == sorted(
        {"video_0001", "video_0001-supervised", "video_0002", "video_0012", HOSTILE}
    )
    assert HOSTILE in page.locator("#table tbody th").all_text_contents()


def test_the_slider_moves_by_keys_and_frames_step(visit, one):
    page = visit(one)
    stage = scroll_to(page).locator(".stage")
    split = stage.locator("input")
    split.focus()
    assert read_at(stage) == 50
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    assert read_at(stage) == 57
    page.keyboard.press("Home")
    assert read_at(stage) == 0
    where = page.locator("#video_0012 .bar output")
    before, picture = where.text_content(), stage.locator("img.under").get_attribute("src")
    page.keyboard.press(",")
    assert where.text_content() != before
    assert stage.locator("img.under").get_attribute("src") != picture
    assert "input" in split.get_attribute("aria-valuetext")


def test_a_frame_opens_alone(visit, one):
    page = visit(one)
    scroll_to(page)
    with page.expect_popup() as opened:
        page.locator("#video_0012").get_by_text("Open alone").click()
    opened.value.wait_for_load_state()
    assert opened.value.evaluate("document.images[0].naturalWidth") == 64


def test_without_script_all_numbers_and_pictures_are_there(visit, one, runs):
    page = visit(one, java_script_enabled=False)
    text = page.locator("main").inner_text()
    rmse = pd.read_csv(runs[0] / "results/metrics_supervised.csv")["rmse"].mean()
    assert f"{rmse:.3f}" in text
    assert page.locator("#table tbody tr").count() == 5
    pictures = page.locator(".sides img")
    assert pictures.count() >= 20
    for i in range(pictures.count()):
        assert pictures.nth(i).bounding_box()["width"] > 50
    assert page.locator(".drawing svg").first.is_visible()
    assert not page.locator(".tools").is_visible()
    link = page.locator("#video_0012 .sides a").first
    link.click()  # fills the window with that frame, in its own size
    box = page.locator("#video_0012 .sides figure").first.bounding_box()
    assert (box["width"], box["height"]) == (1280, 900)
    assert page.locator("#video_0012 .sides img").first.bounding_box()["width"] == 64


def test_downloads_hold_every_number(visit, one, runs):
    for script in (True, False):
        page = visit(one, java_script_enabled=script)
        with page.expect_download() as download:
            page.get_by_text("Download CSV").click()
        table = pd.read_csv(io.BytesIO(Path(download.value.path()).read_bytes()))
        own = pd.read_csv(runs[0] / "results/metrics_supervised.csv").set_index("video_i")["rmse"]
        got = table[table["kind"] == "supervised"].set_index("video_id")["rmse after"]
        assert got.sort_index().to_numpy() == pytest.approx(own.sort_index().to_numpy(), rel=1e-5)
        assert set(got.index) == set(own.index)
    with page.expect_download() as download:
        page.get_by_text("Download JSON").click()
    content = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert len(content["videos"]["video_id"]) == 5
    assert content["provenance"][0]["Weights, SHA-256 of the tensors"].isalnum()


def test_the_policy_forbids_the_network(browser, one):
    page = browser.new_page()
    page.goto(one.as_uri())
    blocked = page.evaluate(
        """() => new Promise((done) => {
        document.onsecuritypolicyviolation = (event) => done(event.violatedDirective);
        new Image().src = "http://127.0.0.1:9/x.png";
    })"""
    )
    assert blocked == "img-src"
    assert not re.search(r"https?://(?!github\.com/leeoniya/uPlot)", _strip(one))


def _strip(path):
    """Return a page's own markup, without what a run says of itself."""
    return re.sub(r"<(dl|pre)\b.*?</\1>|base64,[^\"]*", "", path.read_text("utf-8"), flags=re.S)


@pytest.mark.slow
def test_the_table_sorts_and_searches_many_rows(visit, many):
    page = visit(many)
    rows = page.locator("#table tbody tr")
    assert rows.count() == 100  # what is out of sight is out of the page
    heading = page.locator("#table thead th", has_text="RMSE, after")
    for direction, ordered in (("descending", np.flip), ("ascending", np.asarray)):
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == direction
        column = heading.evaluate("e => e.cellIndex")
        values = page.evaluate(f"[...table.tBodies[0].rows].map(r => +r.cells[{column}].innerText)")
        assert values == ordered(np.sort(values)).tolist()
    page.locator("#search").fill("0417")
    assert rows.count() == 2
    assert "2 of 2 shown, 3,000 in all" in page.locator("#count").text_content()
    page.locator("#search").fill("")
    page.locator("#more").click()
    assert rows.count() == MANY
    assert many.stat().st_size < 10e6


@pytest.mark.slow
def test_links_lead_to_videos_with_and_without_pictures(visit, one, many):
    page = visit(one, "#" + quote(HOSTILE))
    assert page.locator(":target h3").text_content() == HOSTILE
    hidden = next(
        f"video_{i:04d}" for i in range(1500) if f'id="video_{i:04d}"><th' in many.read_text()
    )
    page = visit(many, f"#{hidden}")
    detail = page.locator("#detail")
    assert detail.locator("h3").text_content() == hidden
    assert detail.locator("canvas").count() == 2
    assert detail.is_visible()


def test_curves_are_read_off_and_follow_the_theme(visit, one):
    page = visit(one)
    chart = page.locator("#video_0012 .chart").first
    chart.scroll_into_view_if_needed()
    chart.locator(".u-over").hover()
    reading = chart.locator(".reading").text_content()
    assert re.match(r"frame \d: input [\d.]+, enhanced [\d.]+", reading)
    lights = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        lights.append(sum(map(int, re.findall(r"\d+", ground)[:3])))
        assert chart.locator("canvas").count() == 1
    assert lights[0] == 3 * 255
    assert lights[1] < 100


def test_print_shows_pictures_and_no_tools(visit, one):
    page = visit(one)
    scroll_to(page)
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert not page.locator("#video_0012 .stage").is_visible()
    stills = page.locator("#video_0012 .sides img")
    assert all(stills.nth(i).is_visible() for i in range(stills.count()))


@pytest.mark.parametrize("width", [420, 1280])
def test_nothing_sticks_out(visit, two, width):
    page = visit(two)
    page.set_viewport_size({"width": width, "height": 900})
    page.add_style_tag(content=".video { content-visibility: visible !important }")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_two_runs_are_compared(visit, two, runs):
    page = visit(two)
    text = page.locator("#runs").inner_text()
    # the first network takes half of the error, the second overshoots by more than what is left
    assert "3 videos with targets: run 1 is better in 0, run 0 in 3" in text
    table = pd.read_csv(runs[0] / "results/metrics_supervised.csv")["rmse"].mean()
    assert f"{table:.3f}" in page.locator(".tile").nth(1).inner_text()
    scroll_to(page)
    assert page.locator("#video_0012 .says").first.text_content() == "run 0"
    names = page.locator("#video_0012 select").first.locator("option").all_text_contents()
    assert names == ["input", "run 0", "run 1"]


def test_a_clip_s_sides_are_of_one_frame(visit, two):
    page = visit(two)
    clip = page.locator("#video_0012 .clip")
    clip.scroll_into_view_if_needed()
    clip.and_(page.locator("[data-shown='0']")).wait_for()
    clip.locator("select").first.select_option(label="input")
    clip.locator("select").nth(1).select_option(label="run 1")
    for number in (1, 2, 3):
        clip.get_by_label("next frame").click()
        clip.and_(page.locator(f"[data-shown='{number}']")).wait_for()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    left, right = look_at(clip.locator(".stage"))
    assert left == pytest.approx(60 + 8 * 3, abs=4)  # as the input's frame 3 was drawn
    assert right == pytest.approx(left + 255 * BRIGHTER[1], abs=5)


def look_at(stage):
    """Return the mean level of both halves' lower parts, where frames are flat."""
    import cv2

    picture = cv2.imdecode(np.frombuffer(stage.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    height, width = picture.shape[:2]
    band = picture[int(0.75 * height) : int(0.9 * height)]
    return [float(np.median(band[:, s])) for s in (slice(5, width // 3), slice(-width // 3, -5))]


def test_the_markup_is_valid(one, two):
    for path in (one, two):
        html5lib.HTMLParser(strict=True).parse(path.read_text("utf-8"))


def test_json_cannot_end_its_script():
    text = to_json({"a": "</script><!--", "b": "ü & \u2028"})
    assert "<" not in text
    assert "&" not in text
    assert json.loads(text) == {"a": "</script><!--", "b": "ü & \u2028"}

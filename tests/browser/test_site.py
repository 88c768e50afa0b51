"""The site: what is served, with which headers, and what is not; the same as a folder."""

import json
import logging
import re

import pytest
from starlette.testclient import TestClient

from vqe.browser import server
from vqe.browser.server import bind, build_app, is_local
from vqe.browser.site import HEADERS, INDEX, PAGES, build_site, find_media_type, name_network
from vqe.browser.static_site import write_static_site

LOCAL = "http://127.0.0.1:8020"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runtime")
    names = ("ort.mjs", "ort.wasm")
    for name in names:
        (folder / name).write_text(name)
    return {name: folder / name for name in names}


@pytest.fixture(scope="module")
def site(nano_onnx, files):
    return build_site([str(nano_onnx)], files)


@pytest.fixture
def client(site):
    return TestClient(build_app(site), base_url=LOCAL)


def test_every_file_is_served_with_all_headers(client, site):
    for place in site:
        answer = client.get(f"/{place}")
        assert answer.status_code == 200
        assert all(answer.headers[name] == value for name, value in HEADERS.items())
        assert answer.headers["content-type"].startswith(find_media_type(place))
        content = site[place]
        assert answer.content == (content if isinstance(content, bytes) else content.read_bytes())
    assert client.get("/").content == (PAGES / INDEX).read_bytes()


def test_threads_are_allowed_and_nothing_foreign_is(client):
    headers = client.get("/").headers
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-embedder-policy"] == "require-corp"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy


@pytest.mark.parametrize(
    "place",
    ["/../site.py", "/%2e%2e/site.py", "/..%2fsite.py", "//etc/passwd", "/networks", "/runtime/",
     "/index.html/", "/./index.html"],
)  # fmt: skip
def test_nothing_else_is_served(client, place):
    answer = client.get(place)
    assert answer.status_code == 404 or answer.content == (PAGES / INDEX).read_bytes()
    assert b"import" not in answer.content[:200]


def test_files_are_read_alone(client):
    assert client.post("/index.html").status_code == 405


def test_a_page_elsewhere_does_not_reach_it_by_another_name(site):
    client = TestClient(build_app(site), base_url="http://evil.example:8020")
    assert client.get("/").status_code == 400
    open_to_all = TestClient(build_app(site, local=False), base_url="http://studio.example:8020")
    assert open_to_all.get("/").status_code == 200


def test_the_list_names_no_folder_of_this_machine(site, nano_onnx):
    [network] = json.loads(site["networks.json"])["networks"]
    assert network["name"] == f"{nano_onnx.parent.name}/network.onnx"
    assert str(nano_onnx.parent.parent) not in site["networks.json"].decode()
    assert network["file"] in site
    assert name_network("nano") == "nano"


def test_two_networks_of_one_name_are_told_apart_by_an_error(nano_onnx, files):
    with pytest.raises(ValueError, match="expected networks of different names"):
        build_site([str(nano_onnx)] * 2, files)


def test_the_folder_holds_the_same_and_the_headers(site, tmp_path):
    folder = tmp_path / "site"
    write_static_site(site, folder)
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert found == {*site, "headers.txt"}
    for place, content in site.items():
        wanted = content if isinstance(content, bytes) else content.read_bytes()
        assert (folder / place).read_bytes() == wanted
    text = (folder / "headers.txt").read_text()
    assert all(f"{name}: {value}\n" in text for name, value in HEADERS.items())
    with pytest.raises(FileExistsError, match="expected export to name a new or an empty folder"):
        write_static_site(site, folder)


def test_pages_fetch_nothing_from_elsewhere():
    for path in PAGES.iterdir():
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text) == [], path
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|style=|innerHTML|eval\(", text), path


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("pc", False)],
)
def test_what_is_reached_from_here_alone(host, local):
    assert is_local(host) == local


def test_a_taken_port_is_told():
    with bind("127.0.0.1", 0) as first:
        first.listen()
        with pytest.raises(ValueError, match=r"expected a free address .* port=0 finds one"):
            bind("127.0.0.1", first.getsockname()[1])


def test_whoever_serves_to_others_is_warned(site, monkeypatch, caplog):
    monkeypatch.setattr(server.uvicorn.Server, "run", lambda *_, **__: None)
    opened = []
    monkeypatch.setattr(server.webbrowser, "open", opened.append)
    caplog.set_level(logging.INFO)
    server.serve(site, host="127.0.0.1", port=0, open_page=True)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", opened[0])
    assert opened[0] in caplog.text
    server.serve(site, host="0.0.0.0", port=0, open_page=False)
    assert "everybody who reaches this machine can open the page" in caplog.text
    assert len(opened) == 1

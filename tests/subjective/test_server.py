"""The server: what a rater may do, what nobody may, and what is kept."""

import json

import pytest
from starlette.testclient import TestClient
from study_data import make_study

from vqe.subjective.limits import RateLimit
from vqe.subjective.links import admin_token, new_rater, read_rater, sign_rater
from vqe.subjective.server import HEADERS, RatingServer
from vqe.subjective.store import Store
from vqe.subjective.study import CLIPS, load_study, read_key


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study"))


class Clock:
    """Time that a test moves on."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


class Rater:
    """A client with a link."""

    def __init__(self, client, study, key, clock):
        self.client, self.study, self.clock = client, study, clock
        self.id = new_rater()
        self.token = sign_rater(self.id, key)

    def get(self, what="state"):
        return self.client.get(f"/api/{self.token}/{what}")

    def post(self, what, **told):
        return self.client.post(f"/api/{self.token}/{what}", json=told)

    def describe(self, **changed):
        told = {
            "consent": True,
            "screen": {"width": 1920, "height": 1080, "ratio": 1},
            "refresh_hz": 59.9,
            "plates": self.study.plates,
            "matrices": {n: [str(v) for v in a] for n, a in self.study.matrices.items()},
            "agent": "test",
        }
        return told | changed

    def begin(self):
        assert self.post("enter", **self.describe()).json()["stage"] == "pause"
        return self.post("begin").json()

    def vote(self, state, vote=1, wait=10.0, **changed):
        self.clock.now += wait
        place = {name: state[name] for name in ("assignment", "position")}
        return self.post("vote", **place | {"vote": vote, "played": 1.0, "dropped": 0} | changed)

    def finish(self, state, answer=lambda state: 1):
        while state["stage"] == "pair":
            state = self.vote(state, answer(state)).json()
        return state


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def server(folder, tmp_path, clock):
    study = load_study(folder)
    store = Store(f"sqlite:///{tmp_path}/votes.db")
    server = RatingServer(study, folder, store, read_key(folder), clock=clock)
    for limit in (server.requests, server.strangers, server.newcomers):
        limit._clock = clock
    return server


@pytest.fixture
def client(server):
    with TestClient(server.build_app(), follow_redirects=False) as client:
        yield client


@pytest.fixture
def make_rater(client, server, clock):
    return lambda: Rater(client, server.study, server.key, clock)


def test_a_rater_trains_rates_and_goes_on_later(make_rater, server):
    rater = make_rater()
    assert rater.get().json() == {"stage": "checks", "tries": 3}
    state = rater.begin()
    assert state["training"]
    assert state["of"] == 4
    assert rater.get().json() == state  # the page was loaded anew
    while state["training"]:
        state = rater.vote(state).json()
    assert (state["position"], state["of"]) == (1, 6)
    state = rater.vote(state).json()
    assert state["position"] == 2
    assert rater.get().json() == state  # a break
    assert rater.finish(state) == {"stage": "pause", "done": 1}
    again = rater.post("begin").json()
    assert not again["training"]  # it was a moment ago
    rows = server.store.read_votes()
    assert [row["kind"] for row in rows].count("training") == 4
    assert len(rows) == 10
    assert {row["rater"] for row in rows} == {rater.id}


def test_votes_are_those_of_the_plan(make_rater, server):
    rater = make_rater()
    given = {}

    def answer(state):
        given[state["first"], state["second"]] = vote = len(given) % 7 - 3
        return vote

    rater.finish(rater.begin(), answer)
    rows = [row for row in server.store.read_votes() if row["kind"] == "pair"]
    assert len(rows) == 4
    clips = {(c.content, c.method): n for n, c in server.study.clips.items()}
    for row in rows:
        shown = tuple(clips[row["content"], row[side]] for side in ("first", "second"))
        assert row["vote"] == given[shown]


def test_nothing_that_is_sent_tells_method_content_or_kind(make_rater, client):
    rater = make_rater()
    state = rater.begin()
    told = [client.get(f"/r/{rater.token}").text]
    while state["stage"] == "pair":
        told.append(json.dumps(state))
        state = rater.vote(state).json()
    text = "".join(told)
    words = ("nano", "opencv", "base", "video_0", "gold", "trap", "spoilt", "attention", "expected")
    assert not [word for word in words if word in text]


def test_after_an_hour_training_comes_again_and_all_sessions_end(make_rater, clock, server):
    rater = make_rater()
    state = rater.finish(rater.begin())
    clock.now += 3601
    assert rater.post("begin").json()["training"]
    for _ in range(10):
        state = rater.finish(rater.post("begin").json())
        if state["stage"] == "over":
            break
    assert state == {"stage": "over", "done": 6}
    assert rater.post("begin").status_code == 403
    sessions = {row["session"] for row in server.store.read_votes() if row["kind"] != "training"}
    assert len(sessions) == 6


def test_sessions_are_handed_out_evenly_and_given_up_ones_again(make_rater, server, clock):
    for _ in range(12):
        rater = make_rater()
        state = rater.begin()
        while state["training"]:
            state = rater.vote(state, wait=1).json()
    with server.store.engine.connect() as connection:
        rows = connection.exec_driver_sql("select session from assignments where session > 0")
        assert sorted(row[0] for row in rows) == list(range(1, 13))
    rater.finish(state)
    clock.now += 3601
    other = make_rater()
    other.finish(other.begin())
    with server.store.engine.connect() as connection:
        rows = list(connection.exec_driver_sql("select session from assignments order by id"))
    assert rows[-1][0] == 1  # its first rater is gone


def test_the_same_vote_twice_is_kept_once_and_another_is_refused(make_rater, server):
    rater = make_rater()
    state = rater.begin()
    following = rater.vote(state, 2).json()
    assert rater.vote(state, 2).json() == following  # an answer was lost on its way
    refused = rater.vote(state, -2)
    assert refused.status_code == 409
    assert "already" in refused.json()["error"]
    assert [row["vote"] for row in server.store.read_votes()] == [2]


@pytest.mark.parametrize("change", [{"position": 2}, {"position": 9}, {"assignment": 99}])
def test_no_vote_for_a_pair_that_was_not_shown(change, make_rater, server):
    rater = make_rater()
    refused = rater.vote(rater.begin(), **change)
    assert refused.status_code == 409
    assert "not being shown" in refused.json()["error"]
    assert server.store.read_votes() == []


def test_no_vote_on_another_rater_s_pair(make_rater, server):
    one, other = make_rater(), make_rater()
    state = one.begin()
    other.begin()
    assert other.vote(state).status_code == 409
    assert server.store.read_votes() == []


def test_no_vote_before_the_clips_can_have_ended(make_rater, server):
    rater = make_rater()
    state = rater.begin()
    assert rater.vote(state, wait=0.1).status_code == 409
    assert rater.vote(state, wait=0.5).status_code == 200


@pytest.mark.parametrize(
    "vote", [4, -4, 1.5, "2", None, True, [1], float(10**9)], ids=lambda v: repr(v)
)
def test_a_vote_that_is_none_is_refused(vote, make_rater, server):
    rater = make_rater()
    assert rater.vote(rater.begin(), vote).status_code == 400
    assert server.store.read_votes() == []


def test_without_a_valid_link_there_is_nothing(client, server):
    rater, key = new_rater(), server.key
    good = sign_rater(rater, key)
    assert read_rater(good, key) == rater
    other_key = bytes(32)
    forged = [
        rater,
        f"{rater}.",
        f"{new_rater()}.{good.partition('.')[2]}",
        sign_rater(rater, other_key),
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        admin_token(key),
    ]
    clip = next(iter(server.study.clips))
    for i, token in enumerate(forged):
        server.strangers._buckets.clear()
        assert read_rater(token, key) is None
        assert client.get(f"/r/{token}").status_code == 404
        assert client.get(f"/clip/{token}/{clip}").status_code == 404
        assert client.get(f"/api/{token}/state").status_code == 404
        told = {"assignment": 1, "position": 1, "vote": 1}
        assert client.post(f"/api/{token}/vote", json=told).status_code == 404, i
    assert server.store.read_votes() == []


def test_no_vote_before_the_checks(make_rater):
    rater = make_rater()
    assert rater.post("begin").status_code == 403
    assert rater.post("note", text="hello").status_code == 403
    assert rater.vote({"assignment": 1, "position": 1}).status_code == 409


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"screen": {"width": 64, "height": 48, "ratio": 1}}, "at least 96 by 72"),
        ({"screen": "large"}, "at least 96 by 72"),
        ({"refresh_hz": 20}, "30 Hz"),
        ({"plates": {}}, "coloured dots"),
        ({"plates": ["12"]}, "coloured dots"),
        ({"matrices": {}}, "brighter"),
    ],
)
def test_a_screen_that_does_not_do_is_told_and_has_three_tries(changed, word, make_rater):
    rater = make_rater()
    answer = rater.post("enter", **rater.describe(**changed)).json()
    assert answer["stage"] == "checks"
    assert answer["tries"] == 2
    assert word in answer["wrong"][0]
    for _ in range(2):
        answer = rater.post("enter", **rater.describe(**changed)).json()
    assert answer["stage"] == "refused"
    assert rater.post("enter", **rater.describe()).status_code == 403


def test_one_matrix_of_two_is_enough_and_consent_is_needed(make_rater, server):
    rater = make_rater()
    assert rater.post("enter", **rater.describe(consent="yes")).status_code == 400
    matrices = dict(server.study.matrices, **{"matrix_0.png": ["9", "9"]})
    assert rater.post("enter", **rater.describe(matrices=matrices)).json()["stage"] == "pause"


@pytest.mark.parametrize(
    "name",
    ["../study.json", "..%2Fstudy.json", "%2e%2e/secret.key", "/etc/passwd", "votes.db", "x.mp4"],
)
def test_no_path_outside_the_study_s_clips(name, client, make_rater):
    token = make_rater().token
    for place in (f"/clip/{token}/", f"/check/{token}/", "/static/"):
        answer = client.get(place + name)
        assert answer.status_code == 404
        assert "plates" not in answer.text


def test_clips_come_whole_and_in_parts(client, make_rater, server, folder):
    token, name = make_rater().token, next(iter(server.study.clips))
    whole = (folder / CLIPS / name).read_bytes()
    answer = client.get(f"/clip/{token}/{name}")
    assert answer.content == whole
    assert answer.headers["content-type"] == "video/mp4"
    part = client.get(f"/clip/{token}/{name}", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole[10:20])


def test_every_answer_has_the_security_headers(client, make_rater):
    token = make_rater().token
    for place in ("/", f"/r/{token}", f"/api/{token}/state", "/static/rate.js", "/nothing"):
        headers = client.get(place).headers
        assert {k: headers[k] for k in HEADERS} == HEADERS
    page = client.get(f"/r/{token}").text
    assert "<script>" not in page
    assert " style=" not in page
    assert "onclick" not in page


def test_a_closed_study_lets_nobody_join(client):
    assert client.post("/join").status_code == 403


def test_an_open_study_makes_anonymous_raters_up_to_a_limit(client, server):
    server.study.settings["access"] = "open"
    places = [client.post("/join") for _ in range(21)]
    assert [p.status_code for p in places] == [303] * 20 + [429]
    tokens = {p.headers["location"].removeprefix("/r/") for p in places[:20]}
    assert len({read_rater(token, server.key) for token in tokens}) == 20
    assert client.get("/r/" + tokens.pop()).status_code == 200


def test_guessing_links_and_asking_too_often_are_slowed_down(client, make_rater, clock):
    rater = make_rater()
    answers = [client.get("/api/guess.x/state").status_code for _ in range(21)]
    assert answers == [404] * 20 + [429]
    assert rater.get().status_code == 429  # of the same address
    clock.now += 10
    assert rater.get().status_code == 200
    answers = [rater.get().status_code for _ in range(80)]
    assert answers[0] == 200
    assert answers[-1] == 429
    clock.now += 1
    assert rater.get().status_code == 200


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff", b"x" * 20_000])
def test_a_body_that_is_no_small_object_is_refused(body, client, make_rater):
    answer = client.post(f"/api/{make_rater().token}/enter", content=body)
    assert answer.status_code in (400, 413)


def test_the_admin_page_shows_progress_and_escapes_what_raters_sent(client, make_rater, server):
    evil = "<script>alert('x')</script>"
    rater = make_rater()
    rater.post("enter", **rater.describe(agent=evil))
    rater.finish(rater.post("begin").json())
    assert rater.post("note", text=evil + "remark").status_code == 200
    page = client.get(f"/admin/{admin_token(server.key)}").text
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 2
    assert "4 of 48 votes" in page
    assert "1 of 12 sessions done" in page
    assert rater.id in page


def test_the_admin_page_needs_the_admin_s_link(client, make_rater):
    for token in ("x", make_rater().token):
        assert client.get(f"/admin/{token}").status_code == 404


def test_a_long_environment_does_not_break_the_admin_page(client, make_rater, server):
    rater = make_rater()
    rater.post("enter", **rater.describe(agent="}" * 9000))
    assert client.get(f"/admin/{admin_token(server.key)}").status_code == 200


def test_buckets_fill_again_and_are_forgotten():
    clock = Clock()
    limit = RateLimit(burst=2, per_second=0.5, clock=clock)
    assert [limit.allows("a") for _ in range(3)] == [True, True, False]
    assert limit.allows("b")
    clock.now += 2
    assert [limit.allows("a") for _ in range(2)] == [True, False]
    for i in range(30_000):
        limit.allows(str(i))
    assert len(limit._buckets) <= 20_001

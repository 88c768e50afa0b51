"""HTTP requests -> the rating page, its clips, votes that are kept, the admin page."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from vqe.subjective.environment import check_environment, keep_environment
from vqe.subjective.limits import RateLimit
from vqe.subjective.links import is_admin, new_rater, read_rater, sign_rater
from vqe.subjective.overview import look_over
from vqe.subjective.progress import Ballot, Progress
from vqe.subjective.section import PAGES, load_template
from vqe.subjective.store import Refused, Store
from vqe.subjective.study import CHECKS, CLIPS, Study
from vqe.subjective.votes import GRADES, LABELS
from vqe.web import PAGE_HEADERS, WithHeaders

STATIC = {"rate.js": "text/javascript", "play.js": "text/javascript", "style.css": "text/css"}
MOST_BYTES = 16_384  # of a request's body
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    **PAGE_HEADERS,  # no referrer among them: links are secret
}
PRIVATE = {"Cache-Control": "private, max-age=86400"}
FRESH = {"Cache-Control": "no-store"}


class RatingServer:
    """Serve a study.

    Args:
        study: what is shown.
        folder: where it is.
        store: where votes go; started and closed with the server.
        key: signs links.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        study: Study,
        folder: Path,
        store: Store,
        key: bytes,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.study = study
        self.folder = folder
        self.store = store
        self.key = key
        self.clock = clock
        self.progress = Progress(study)
        self.requests = RateLimit(burst=60, per_second=10)  # of a rater
        self.strangers = RateLimit(burst=20, per_second=0.2)  # of an address, without a link
        self.newcomers = RateLimit(burst=20, per_second=0.2)  # of an address, in open studies

    def build_app(self) -> ASGIApp:
        """Return the application."""

        @asynccontextmanager
        async def lifespan(_app: Starlette):
            self.store.start()
            yield
            await asyncio.to_thread(self.store.close)

        routes = [
            Route("/", self.welcome),
            Route("/favicon.ico", self.no_icon),
            Route("/join", self.join, methods=["POST"]),
            Route("/r/{token}", self.page),
            Route("/static/{name}", self.static),
            Route("/clip/{token}/{name}", self.clip),
            Route("/check/{token}/{name}", self.check_picture),
            Route("/api/{token}/state", self.state),
            Route("/api/{token}/enter", self.enter, methods=["POST"]),
            Route("/api/{token}/begin", self.begin, methods=["POST"]),
            Route("/api/{token}/vote", self.vote, methods=["POST"]),
            Route("/api/{token}/note", self.note, methods=["POST"]),
            Route("/admin/{token}", self.admin),
        ]
        app = Starlette(
            routes=routes, lifespan=lifespan, exception_handlers={Refused: self._refuse}
        )
        return WithHeaders(app, HEADERS)

    async def welcome(self, request: Request) -> Response:
        """Show the door: a button in open studies, else a word that a link is needed."""
        is_open = self.study.settings["access"] == "open"
        return self._render("door.html", title=self.study.settings["title"], is_open=is_open)

    async def no_icon(self, request: Request) -> Response:
        """Tell browsers, which ask by themselves, that there is none."""
        return Response(status_code=204, headers=PRIVATE)

    async def join(self, request: Request) -> Response:
        """Make an anonymous rater in an open study."""
        if self.study.settings["access"] != "open":
            raise Refused(403, "This study needs a link of your own.")
        if not self.newcomers.allows(_address(request)):
            raise Refused(429, "Too many new raters from here. Please wait a little.")
        return RedirectResponse(f"/r/{sign_rater(new_rater(), self.key)}", status_code=303)

    async def page(self, request: Request) -> Response:
        """Show the rating page; all that changes comes from `state`."""
        self._identify(request)
        settings = self.study.settings
        return self._render(
            "rate.html",
            title=settings["title"],
            consent=settings["consent"],
            contact=settings["contact"],
            token=request.path_params["token"],
            pause_seconds=settings["pause_seconds"],
            plates=list(self.study.plates),
            matrices=list(self.study.matrices),
            answers=list(zip(GRADES, LABELS, strict=True)),
        )

    async def static(self, request: Request) -> Response:
        """Send one of our own files."""
        name = request.path_params["name"]
        if name not in STATIC:
            raise Refused(404, "There is no such file.")
        return FileResponse(PAGES / name, media_type=STATIC[name])

    async def clip(self, request: Request) -> Response:
        """Send a clip of the study."""
        self._identify(request)
        name = request.path_params["name"]
        if name not in self.study.clips:
            raise Refused(404, "There is no such clip.")
        return FileResponse(self.folder / CLIPS / name, headers=PRIVATE)

    async def check_picture(self, request: Request) -> Response:
        """Send a colour plate or a brightness matrix."""
        self._identify(request)
        name = request.path_params["name"]
        if name not in self.study.plates and name not in self.study.matrices:
            raise Refused(404, "There is no such picture.")
        return FileResponse(self.folder / CHECKS / name, headers=PRIVATE)

    async def state(self, request: Request) -> Response:
        """Tell what the page is to show."""
        return await self._change(request, self.progress.find_state)

    async def enter(self, request: Request) -> Response:
        """Take consent and the answers to the checks."""
        rater = self._identify(request)
        told = await _read_json(request)
        if told.get("consent") is not True:
            raise Refused(400, "Please agree first.")
        wrong, kept = check_environment(self.study, told), keep_environment(told)
        return await self._change(
            request, self.progress.enter, kept, not wrong, rater=rater, also={"wrong": wrong}
        )

    async def begin(self, request: Request) -> Response:
        """Begin a session."""
        return await self._change(request, self.progress.begin)

    async def vote(self, request: Request) -> Response:
        """Take a vote; the answer comes when it is on the disk."""
        rater = self._identify(request)
        ballot = _read_ballot(await _read_json(request))
        return await self._change(request, self.progress.vote, ballot, rater=rater)

    async def note(self, request: Request) -> Response:
        """Take a remark."""
        rater = self._identify(request)
        text = (await _read_json(request)).get("text")
        if not isinstance(text, str) or not text.strip():
            raise Refused(400, "There is nothing written.")
        return await self._change(request, self.progress.note, text, rater=rater)

    async def admin(self, request: Request) -> Response:
        """Show progress to whoever runs the study."""
        if self.strangers.is_empty(_address(request)):
            raise Refused(429, "Too many wrong links. Please wait a little.")
        if not is_admin(request.path_params["token"], self.key):
            self.strangers.allows(_address(request))
            raise Refused(404, "There is no such page.")

        def look(connection):
            return look_over(connection, self.study, self.clock())

        found = await asyncio.wrap_future(self.store.submit(look))
        return self._render("admin.html", title=self.study.settings["title"], **found)

    def _identify(self, request: Request) -> str:
        """Return the rater of a link.

        Raises:
            Refused: the link is nobody's, or asks too often.
        """
        address = _address(request)
        if self.strangers.is_empty(address):
            raise Refused(429, "Too many wrong links. Please wait a little.")
        rater = read_rater(request.path_params["token"], self.key)
        if rater is None:
            self.strangers.allows(address)
            raise Refused(404, "This link is not valid. Please use the one you were given.")
        if not self.requests.allows(rater):
            raise Refused(429, "Too many requests. Please wait a little.")
        return rater

    async def _change(
        self,
        request: Request,
        change: Callable,
        *values: object,
        rater: str | None = None,
        also: dict | None = None,
    ) -> Response:
        rater = rater or self._identify(request)
        now = self.clock()
        state = await asyncio.wrap_future(
            self.store.submit(lambda connection: change(connection, rater, *values, now))
        )
        return JSONResponse(state | (also or {}), headers=FRESH)

    async def _refuse(self, request: Request, refusal: Refused) -> Response:
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": refusal.reason}, refusal.status, headers=FRESH)
        page = self._render(
            "refused.html", title=self.study.settings["title"], reason=refusal.reason
        )
        page.status_code = refusal.status
        return page

    def _render(self, name: str, **values: object) -> HTMLResponse:
        return HTMLResponse(load_template(name).render(**values), headers=FRESH)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


async def _read_json(request: Request) -> dict:
    """Read a small JSON object.

    Raises:
        Refused: it is none, or too large.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise Refused(413, "That is too much.")
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise Refused(400, "That is no JSON object.")
    return told


def _read_ballot(told: dict) -> Ballot:
    """Return a vote as it was sent.

    Raises:
        Refused: a number is missing or none.
    """

    def whole(name: str, low: int, high: int) -> int:
        value = told.get(name)
        if type(value) is not int or not low <= value <= high:
            raise Refused(400, f"Expected {name} to be a whole number from {low} to {high}.")
        return value

    played, dropped = told.get("played"), told.get("dropped")
    is_time = type(played) in (int, float) and 0 <= played < 36_000
    is_count = type(dropped) is int and 0 <= dropped < 1_000_000
    return Ballot(
        assignment=whole("assignment", 1, 2**31 - 1),
        position=whole("position", 1, 10_000),
        vote=whole("vote", GRADES[0], GRADES[-1]),
        played=float(played) if is_time else None,
        dropped=dropped if is_count else None,
    )

"""A site -> an application that serves its files, and nothing else, to browsers of this machine."""

import ipaddress
import logging
import socket
import webbrowser

import uvicorn
from starlette.applications import Starlette
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from vqe.browser.site import HEADERS, INDEX, Site, find_media_type
from vqe.web import WithHeaders

log = logging.getLogger(__name__)

FRESH = {"Cache-Control": "no-cache"}  # a restart may serve another network under the same name
LOCAL_NAMES = ["127.0.0.1", "localhost", "[::1]"]


def build_app(site: Site, *, local: bool = True) -> ASGIApp:
    """Return the application.

    Args:
        site: files by their place; no other place is served.
        local: refuse requests that name another host than this machine, as a page elsewhere could
            have a browser make them.
    """

    async def send(request: Request) -> Response:
        place = request.path_params["place"] or INDEX
        if place not in site:
            return PlainTextResponse("There is no such file.", 404)
        content, kind = site[place], find_media_type(place)
        if isinstance(content, bytes):
            return Response(content, media_type=kind, headers=FRESH)
        return FileResponse(content, media_type=kind, headers=FRESH)

    app: ASGIApp = Starlette(routes=[Route("/{place:path}", send)])
    if local:
        app = TrustedHostMiddleware(app, allowed_hosts=LOCAL_NAMES)
    return WithHeaders(app, HEADERS)


def serve(site: Site, *, host: str, port: int, open_page: bool) -> None:
    """Serve a site until Ctrl-C.

    Raises:
        ValueError: the address is not to be had.
    """
    local = is_local(host)
    with bind(host, port) as place:
        place.listen()  # before the address is told: who comes early waits
        name, port = place.getsockname()[:2]
        address = f"http://{f'[{name}]' if ':' in name else name}:{port}/"
        if not local:
            log.warning(
                "host=%s: everybody who reaches this machine can open the page, and browsers give "
                "no camera to a page of http:// from elsewhere. See docs/live.md",
                host,
            )
        log.info("%s (Ctrl-C ends it)", address)
        config = uvicorn.Config(
            build_app(site, local=local), log_level="warning", access_log=False, server_header=False
        )
        if open_page:
            webbrowser.open(address)
        uvicorn.Server(config).run(sockets=[place])


def is_local(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bind(host: str, port: int) -> socket.socket:
    """Return a socket at an address.

    Raises:
        ValueError: it is taken, or none of this machine.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        place = socket.socket(family, kind)
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(address)
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"expected a free address for host={host} port={port}, got: {error}. "
            "Take another: port=0 finds one"
        ) from error
    return place

"""Config -> the page, served until it is stopped, or a static site."""

import logging
from pathlib import Path

from omegaconf import DictConfig

from vqe.browser.runtime import fetch_runtime, find_runtime, get_cache
from vqe.browser.server import serve
from vqe.browser.site import build_site
from vqe.browser.static_site import write_static_site

log = logging.getLogger(__name__)


def run_live(cfg: DictConfig) -> None:
    """Do what the config says: fetch the runtime, write the site, or serve it.

    Raises:
        FileNotFoundError: there is no such network, or no runtime.
        ValueError: a file is no network, or the address is not to be had.
    """
    if cfg.fetch:
        fetch_runtime(get_cache())
        return
    runtime = find_runtime(cfg.runtime)
    names = [cfg.network] if isinstance(cfg.network, str) else list(cfg.network)
    site = build_site(names, runtime)
    if cfg.export is not None:
        write_static_site(site, Path(cfg.export))
        log.info("%d files are in %s; see headers.txt there", len(site), cfg.export)
        return
    serve(site, host=cfg.host, port=cfg.port, open_page=cfg.open)

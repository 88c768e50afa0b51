"""Config -> the rating page of a study, until it is stopped."""

import logging
from pathlib import Path

import uvicorn
from omegaconf import DictConfig

from vqe.subjective.links import admin_token
from vqe.subjective.server import RatingServer
from vqe.subjective.store import Store
from vqe.subjective.study import LINKS, load_study, read_key

log = logging.getLogger(__name__)


def serve(cfg: DictConfig) -> None:
    """Serve a study.

    Raises:
        FileNotFoundError: there is no study.
        ValueError: there is no database.
    """
    folder = Path(cfg.study)
    study, key = load_study(folder), read_key(folder)
    store = Store(cfg.database or study.database(folder))
    server = RatingServer(study, folder, store, key)
    base = cfg.base_url or f"http://{cfg.host}:{cfg.port}"
    if study.settings["access"] == "open":
        log.info("raters: %s/", base)
    else:
        log.info("raters: %s and a link of %s", base, folder / LINKS)
    log.info("progress: %s/admin/%s", base, admin_token(key))
    uvicorn.run(
        server.build_app(),
        host=cfg.host,
        port=cfg.port,
        log_level="warning",
        access_log=False,  # links are secret
        proxy_headers=True,
        forwarded_allow_ips=cfg.proxy,
        server_header=False,
        backlog=2048,
    )

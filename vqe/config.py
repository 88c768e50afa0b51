"""Tell the configs where the repository lies."""

from pathlib import Path

from omegaconf import OmegaConf

REPOSITORY = Path(__file__).resolve().parents[1]
CONF_DIR = REPOSITORY / "conf"

OmegaConf.register_new_resolver("vqe_root", lambda: str(REPOSITORY), replace=True)

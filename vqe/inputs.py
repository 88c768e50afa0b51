"""Config -> the files it names are there, or an error that says where they come from.

Light: entries check this before they import torch, so that a missing file is told at once.
"""

from pathlib import Path
from typing import Any

from vqe.schema import SUPERVISED_CSV, UNSUPERVISED_CSV

CHALLENGE_STORAGE = "https://ic3mi.z22.web.core.windows.net/vqe"
DOVER_RELEASES = "https://github.com/QualityAssessment/DOVER/releases/download"
SOURCES = {
    "VQA.ckpt": f"{CHALLENGE_STORAGE}/VQA.ckpt",
    "DOVER.pth": f"{CHALLENGE_STORAGE}/DOVER.pth or {DOVER_RELEASES}/v0.1.0/DOVER.pth",
    "DOVER-Mobile.pth": f"{DOVER_RELEASES}/v0.5.0/DOVER-Mobile.pth",
}
UNTRAINED = "untrained"  # in place of a file: seeded random weights
STANDIN = "standin"  # in place of a file: the project's own small VQA

SHIPPED = Path(__file__).with_name("models") / "weights"  # networks, <name>.safetensors
BY_CONFIG = "shipped"  # in place of a shipped network's name: the one that model_vqe names
DEFAULT_NETWORK = "nano"
COMPILED = "compiled"  # key of model_vqe that is none of the network's arguments
LIVE = ("-", "camera")  # in place of a file: standard input or output, a webcam or a virtual one

RATED_PAIRS = "rated_pairs.csv"  # in the folder of a study that ratings.py analysed


def check_training(cfg: Any) -> None:
    """See that what `train_vqe.py` reads is there: CSVs, weights, the checkpoint to continue.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: no weights are named for a critic.
    """
    names = ["train", "valid"] + ["holdout"] * bool(cfg.test and not cfg.only_validation)
    if cfg.report and len(names) < 3:
        raise ValueError("expected test=true with report=true, got no test. Leave one of them out")
    _check_data(cfg.dataset, names)
    _check_critics(cfg)
    if cfg.model_vqe.get("encoder_weights"):
        require_encoder_weights(Path(cfg.model_vqe.encoder_weights))
    if cfg.init_from is not None:
        find_checkpoint(cfg.init_from, cfg.model_vqe)
    if cfg.resume_from not in (None, "auto"):
        require_checkpoint(Path(cfg.resume_from))


def check_test(cfg: Any) -> None:
    """Do the same for `test_vqe.py`: the checkpoint, the CSV, and weights if anything is scored."""
    if cfg.report and cfg.only_videos:
        raise ValueError("expected numbers to report, got only_videos=true. Leave report=true out")
    find_checkpoint(cfg.checkpoint, cfg.model_vqe)
    _check_data(cfg.dataset, ["holdout"])
    if not cfg.only_videos:
        _check_critics(cfg)


def check_scoring(cfg: Any) -> None:
    """Do the same for `score_videos.py`: the videos and the critics' weights."""
    for key in ("input", "reference"):
        if cfg[key] is not None:
            require_footage(Path(cfg[key]), key)
    _check_critics(cfg, groups=("model_vqa", "model_dover") if cfg.reference else ("model_dover",))


def check_critic_training(cfg: Any) -> None:
    """Do the same for `train_vqa.py`: the footage or the CSV of ratings."""
    if cfg.source is not None:
        require_footage(Path(cfg.source), "source")
    if cfg.pairs is not None:
        find_pairs(Path(cfg.pairs))


def check_report(cfg: Any) -> None:
    """See that the runs which `report.py` reads are there and were tested."""
    runs = [cfg.runs] if isinstance(cfg.runs, str) else list(cfg.runs)
    if len(runs) not in (1, 2):
        raise ValueError(f"expected runs to be one folder or two, got {len(runs)}")
    for run in [*runs, *([cfg.input] if cfg.input else [])]:
        require_tested(Path(run))


def require_tested(run: Path) -> None:
    """Raise FileNotFoundError where a folder holds no CSV of a test."""
    results = run / "results"
    if not any((results / name).is_file() for name in (SUPERVISED_CSV, UNSUPERVISED_CSV)):
        raise FileNotFoundError(
            f"expected {SUPERVISED_CSV} or {UNSUPERVISED_CSV} in {results}, got neither. "
            "Name the folder of a run that was tested: python test_vqe.py checkpoint=<checkpoint>"
        )


def check_synthesis(cfg: Any) -> None:
    """Do the same for `synthesize.py`: the clean footage."""
    require_footage(Path(cfg.source), "source")


def check_enhancing(cfg: Any) -> None:
    """Do the same for `enhance.py`: the input and the network's weights."""
    if str(cfg.input) not in LIVE and not Path(cfg.input).exists():
        raise FileNotFoundError(f"expected input to be a file or a folder, got {cfg.input}")
    if cfg.weights is not None:
        find_network(cfg.weights, cfg.model_vqe)
    elif read_network(cfg) is None:
        raise ValueError(
            "expected weights=<checkpoint | network.onnx | name>, got null. "
            "model_vqe=identity needs none"
        )


def check_live(cfg: Any) -> None:
    """Do the same for `live.py`: the networks."""
    if not cfg.fetch:
        for name in [cfg.network] if isinstance(cfg.network, str) else cfg.network:
            find_network(name)


def check_submission(cfg: Any) -> None:
    """Do the same for `submission.py pack`: the run, and what it is compared with."""
    if "run" in cfg and not Path(cfg.run).is_dir():
        raise FileNotFoundError(
            f"expected run to be a folder of train_vqe.py or test_vqe.py, got {cfg.run}"
        )
    if cfg.reference is not None and not Path(cfg.reference).exists():
        raise FileNotFoundError(f"expected reference to be a test.csv, got {cfg.reference}")
    if cfg.get("checkpoint") is not None:
        find_checkpoint(cfg.checkpoint, cfg.model_vqe)


def read_network(cfg: Any) -> dict[str, Any] | None:
    """Return how to build the network that `model_vqe` names, None where it names none.

    What else stands there says how the network is run, not what it is: `compiled`.
    """
    from omegaconf import OmegaConf

    node = cfg.model_vqe
    if node is None or "_target_" not in node:
        return None
    found: Any = OmegaConf.to_container(node, resolve=True)
    return {name: value for name, value in found.items() if name != COMPILED}


def list_shipped() -> list[str]:
    """List the names of the networks whose weights ship with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def find_shipped(name: str | Path, network: Any = None) -> Path | None:
    """Return the file of a shipped network, None if there is none of this name.

    Args:
        name: of the network, such as `nano`; `shipped`: the one that `network` builds.
        network: the config `model_vqe`; None: nano's.
    """
    if str(name) == BY_CONFIG:
        target = (network or {}).get("_target_") or DEFAULT_NETWORK
        name = str(target).rpartition(".")[2].lower()
    return SHIPPED / f"{name}.safetensors" if str(name) in list_shipped() else None


def find_network(weights: str | Path, network: Any = None) -> Path:
    """Return the file of a network: a path, or the name of a shipped one.

    Args:
        weights: of the network.
        network: see `find_shipped`.

    Raises:
        FileNotFoundError: there is neither.
    """
    path = Path(weights) if Path(weights).is_file() else find_shipped(weights, network)
    if path is None:
        raise FileNotFoundError(
            "expected weights to be a checkpoint of train_vqe.py, a network.onnx or the name of a "
            f"shipped network ({_name_shipped()}), got {weights}"
        )
    return path


def find_checkpoint(checkpoint: str | Path, network: Any = None) -> Path:
    """Return the file of weights that PyTorch loads: a path, or the name of a shipped network.

    Args:
        checkpoint: the path or name.
        network: see `find_shipped`.

    Raises:
        FileNotFoundError: there is neither.
    """
    path = find_shipped(checkpoint, network)
    if path is None or Path(checkpoint).is_file():
        require_checkpoint(Path(checkpoint))
        return Path(checkpoint)
    return path


def _name_shipped() -> str:
    return ", ".join([*list_shipped(), BY_CONFIG] if list_shipped() else ["none yet"])


def require_csv(path: Path) -> None:
    """Raise FileNotFoundError where there is no CSV of frames."""
    if not path.is_file():
        raise FileNotFoundError(
            f"expected a frame CSV at {path}, got nothing. Make it with "
            f"dataset_builder.py --config-name data/all_30fps data.source_dir={path.parent}"
        )


def require_checkpoint(path: Path) -> None:
    """Raise FileNotFoundError where there is no checkpoint of a network."""
    if not path.is_file():
        raise FileNotFoundError(
            f"expected a checkpoint at {path}, got nothing. train_vqe.py writes them to "
            f"<run>/checkpoints/{{best,last}}.ckpt; shipped networks: {_name_shipped()}"
        )


def require_encoder_weights(path: Path) -> None:
    """Raise FileNotFoundError where there is no file of an encoder's weights."""
    if not path.is_file():
        raise FileNotFoundError(
            f"expected the weights of the encoder at {path}, got nothing. Nothing is downloaded: "
            "get the file that timm publishes, or train from random ones: encoder_weights=null"
        )


def require_footage(path: Path, key: str) -> None:
    """Raise FileNotFoundError where there is neither a file nor a folder of footage."""
    if not path.exists():
        raise FileNotFoundError(f"expected {key} to be a video or a folder, got {path}")


def find_pairs(path: Path) -> Path:
    """Return the CSV of rated pairs: the file itself, or that of a study's folder.

    Raises:
        FileNotFoundError: there is none.
    """
    if path.is_dir():
        found = path / RATED_PAIRS
        if not found.is_file():
            raise FileNotFoundError(
                f"expected a study with {RATED_PAIRS}, got none in {path}. "
                f"Make it: python ratings.py analyse study={path}"
            )
        return found
    if not path.is_file():
        raise FileNotFoundError(f"expected a CSV of rated pairs at {path}, got nothing")
    return path


def require_weights(weights: str | Path | None, group: str, checkpoint_name: str) -> None:
    """See that a critic's weights are named and there.

    Args:
        weights: a file, `untrained` or `standin`.
        group: of the config that names them, `model_vqa` or `model_dover`.
        checkpoint_name: the published file, a key of `SOURCES`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: none is named.
    """
    if weights is None:
        raise ValueError(
            f"expected {group}.weights to name {checkpoint_name}, got null. "
            f"{explain_source(checkpoint_name)}"
        )
    if weights not in (UNTRAINED, STANDIN) and not Path(weights).is_file():
        raise FileNotFoundError(
            f"expected the weights {checkpoint_name}, got no file {weights}. "
            f"{explain_source(checkpoint_name)}"
        )


def explain_source(checkpoint_name: str) -> str:
    """Say where a checkpoint can be had and what runs without it, for error messages."""
    option = "model_vqa" if checkpoint_name == "VQA.ckpt" else "model_dover"
    return (
        f"Download {SOURCES[checkpoint_name]} and name it in {option}.weights. To run without it: "
        f"{option}.weights=untrained, random weights whose scores mean nothing"
        + (", or model_dover=off" if option == "model_dover" else "")
    )


def _check_data(dataset: Any, names: list[str]) -> None:
    """See that a data module's CSVs are there, unless it is one of the user's own."""
    if dataset._target_ == "vqe.data.VQEDataModule":
        for name in names:
            if dataset[name] is not None:
                require_csv(Path(dataset.path) / dataset[name])


def _check_critics(cfg: Any, groups: tuple[str, ...] = ("model_vqa", "model_dover")) -> None:
    for group in groups:
        critic: Any = cfg[group] or {}
        target = critic.get("_target_")
        if target == "vqe.critics.FrozenVQA":
            require_weights(critic.weights, group, "VQA.ckpt")
        if target == "vqe.critics.FrozenDOVER":
            mobile = critic.variant == "mobile"
            require_weights(critic.weights, group, "DOVER-Mobile.pth" if mobile else "DOVER.pth")

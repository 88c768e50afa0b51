"""Config -> a trained network: checkpoints, test videos, metric CSVs and an ONNX file.

python train_vqe.py --config-name=vqe dataset.path=<data> model_vqa.weights=<VQA.ckpt> ...
"""

from vqe.cli import check_sweeper, entry
from vqe.inputs import check_training


@entry("vqe", prepare=check_sweeper, check=check_training)
def main(cfg) -> float | None:
    """Train as configured; return what a sweep optimises."""
    from vqe.reporting.report import report_if_asked
    from vqe.training.train import train_for_sweep

    objective = train_for_sweep(cfg)
    report_if_asked(cfg)
    return objective


if __name__ == "__main__":
    main()

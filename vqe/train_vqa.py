"""Config -> your own critic: weights for `model_vqa.weights`, and a report on it.

python train_vqa.py source=<clean footage>, or pairs=<csv of rated pairs>
"""

from vqe.cli import entry, rename_key
from vqe.inputs import check_critic_training

OLD_NAME = rename_key("draws.undone", "draws.correction_strength")


@entry("train_vqa", prepare=OLD_NAME, check=check_critic_training)
def main(cfg) -> None:
    """Train as configured."""
    from vqe.critic_training.train import train

    train(cfg)


if __name__ == "__main__":
    main()

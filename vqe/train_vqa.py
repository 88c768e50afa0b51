"""Config -> a critic of your own: weights for `model_vqa.weights`, and a report on it.

python train_vqa.py source=<clean footage>, or pairs=<csv of rated pairs>
"""

from vqe.cli import entry


@entry("train_vqa")
def main(cfg) -> None:
    """Train as configured."""
    from vqe.critic_training.train import train

    train(cfg)


if __name__ == "__main__":
    main()

"""A training's checkpoint -> the file of a network that ships with the package.

python -m vqe.training.shipping <run>/checkpoints/best.ckpt vqe/models/weights/nano.safetensors
       --recipe "experiment=pretrain" --data "photographs, MIT and Pexels" --version 1
"""

import argparse

from vqe.models.shipped import write_shipped
from vqe.training.checkpoints import load_network


def main(arguments: list[str] | None = None) -> None:
    """Write the weights of a checkpoint in float16, with what they learnt from."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", help="of train_vqe.py")
    parser.add_argument("target", help="<name>.safetensors")
    parser.add_argument("--recipe", required=True, help="how it was trained")
    parser.add_argument("--data", required=True, help="what it was trained on, with licences")
    parser.add_argument("--version", required=True, help="of the weights")
    given = parser.parse_args(arguments)
    network, config = load_network(given.checkpoint)
    about = {"recipe": given.recipe, "data": given.data, "version": given.version}
    write_shipped(given.target, network, config, **about)


if __name__ == "__main__":
    main()

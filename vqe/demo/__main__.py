"""`python -m vqe.demo`: the demo."""

import sys

from vqe.demo.steps import main

if __name__ == "__main__":
    sys.exit(main())

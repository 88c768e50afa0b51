"""A network -> the webcam, enhanced in the browser: a page of this machine, or a static site.

python live.py network=<run>/network.onnx
"""

from vqe.cli import entry, quote_list
from vqe.inputs import check_live


@entry("live", prepare=quote_list("network"), check=check_live)
def main(cfg) -> None:
    """Serve the page, or write the site, as configured."""
    from vqe.browser.live import run_live

    run_live(cfg)


if __name__ == "__main__":
    main()

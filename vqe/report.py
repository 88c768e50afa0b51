"""One or two runs -> an HTML file that opens from disk: scores, pictures, curves, what made them.

python report.py runs=<run>,<run> output=report.html
"""

from vqe.cli import entry, quote_list
from vqe.inputs import check_report


@entry("report", prepare=quote_list("runs"), check=check_report)
def main(cfg) -> None:
    """Write the report as configured."""
    from vqe.reporting.report import report

    report(cfg)


if __name__ == "__main__":
    main()

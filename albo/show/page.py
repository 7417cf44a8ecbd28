"""Pages that show an evaluation or a report: each one HTML file that loads and runs nothing.

The same evaluation or report gives the same text. Pages are sent to others, so they name files
without the folders of this machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from albo.show.evaluation_page import describe_evaluation
from albo.show.report_page import describe_report
from albo.show.templating import fill
from albo.store import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from albo.answers import Report
    from albo.learning import ReviewedEvaluation


def write(html: str, path: Path) -> None:
    """Write a page, whole or not at all. Raises CannotWrite."""
    content = html.encode()
    write_atomically(path, lambda file: file.write(content), "give --html another place")


def render(evaluation: ReviewedEvaluation) -> str:
    """Return the page of an evaluation: HTML5, to be written as UTF-8."""
    return fill("evaluate.html", describe_evaluation(evaluation))


def render_report(report: Report) -> str:
    """Return the page of a report: HTML5, to be written as UTF-8."""
    return fill("report.html", describe_report(report))

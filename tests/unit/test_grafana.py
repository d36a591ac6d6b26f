"""The dashboards: made from one list of panels, about metrics and labels that exist."""

import json
import re
from typing import Any

import dashboards
import pytest
from pages import PAGES
from panels import Figure, Page, Panel

from cdcd.ops.metrics import Metrics

# What Prometheus adds to a worker's series, and histograms have beside their own labels.
ADDED = {"job", "instance", "le"}

PANELS = [(page, panel) for page in PAGES for row in page.rows for panel in row.panels]
EACH_PANEL = pytest.mark.parametrize(
    ("page", "panel"), PANELS, ids=[f"{page.uid}-{panel.title}" for page, panel in PANELS]
)


def _queries(panel: Panel) -> list[tuple[str, str]]:
    """Expressions and legends."""
    if isinstance(panel, Figure):
        return [(panel.query, "")]
    return [(query.expr, query.legend) for query in panel.queries]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.uid)
def test_the_dashboard_is_fresh(page: Page) -> None:
    """The file is what the list of panels makes; `make format` makes it again."""
    assert dashboards.file(page).read_text() == dashboards.document(page)


@EACH_PANEL
def test_a_panel_is_about_labels_that_exist(page: Page, panel: Panel) -> None:
    """What a panel groups by and names its lines by are labels of all of its metrics."""
    for expr, legend in _queries(panel):
        metrics = re.findall(r"\bcdcd_\w+", expr)
        known = (
            set.intersection(*({*dashboards.labels_of(m)} for m in metrics)) if metrics else set()
        )
        for grouped in re.findall(r"\bby \(([^)]*)\)", expr):
            labels = set(grouped.split(", "))
            assert labels <= known | ADDED, expr
            assert set(re.findall(r"{{(\w+)}}", legend)) <= labels


@pytest.mark.parametrize("line", Metrics().lines, ids=lambda line: line.name)
def test_each_metric_is_shown(line: Any) -> None:
    """Every metric of docs/METRICS.md is in a panel of deploy/grafana/pages.py."""
    shown = {
        dashboards.metric_of(name)
        for _, panel in PANELS
        for expr, _ in _queries(panel)
        for name in re.findall(r"\bcdcd_\w+", expr)
    }
    assert line.name in shown


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.uid)
def test_the_selection_is_behind_each_metric(page: Page) -> None:
    """Every query is of the chosen workers, and on a table's page of the chosen table."""
    text = dashboards.file(page).read_text()
    for panel in json.loads(text)["panels"]:
        for target in panel.get("targets", []):
            for name, chosen in re.findall(r"\b(cdcd_\w+|up)(?:\{([^}]*)\})?", target["expr"]):
                assert 'job=~"$job"' in chosen, target["expr"]
                assert 'instance=~"$instance"' in chosen, target["expr"]
                if page.one_table and name != "up" and "table" in dashboards.labels_of(name):
                    assert 'table="$table"' in chosen, target["expr"]


def test_a_metric_that_is_not_there_is_seen() -> None:
    """A query of an unknown metric is refused."""
    with pytest.raises(KeyError):
        dashboards.selected("sum(cdcd_no_such_thing_total)", one_table=True)

"""Makes the dashboards of `dashboards/` from `pages.py`: `python deploy/grafana/dashboards.py`.

With Grafana's own library, so that the JSON has the form that Grafana of its version expects.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as queries
from pages import PAGES
from panels import Figure, Graph, Listing, Page, Panel, Query

from cdcd.ops.metrics import Metrics

FOLDER = Path(__file__).resolve().parent / "dashboards"

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${source}")
# Grafana's grid has 24 columns.
FIGURE_WIDTH, GRAPH_WIDTH, FULL_WIDTH = 4, 8, 24
FIGURE_HEIGHT, GRAPH_HEIGHT, LISTING_HEIGHT = 4, 8, 9

_METRIC = re.compile(r"\b(cdcd_\w+)(?:\{([^}]*)\})?")
_LINES = {line.name: line.labels for line in Metrics().lines}


def metric_of(series: str) -> str:
    """The metric, as docs/METRICS.md lists it, that a series is of."""
    return series if series in _LINES else re.sub(r"_(bucket|sum|count)$", "", series)


def labels_of(series: str) -> tuple[str, ...]:
    """The labels of a series of one of cdcd's metrics; KeyError if there is no such metric."""
    return _LINES[metric_of(series)]


def selected(expr: str, *, one_table: bool) -> str:
    """The expression with the page's selection behind each of cdcd's metrics."""

    def select(found: re.Match[str]) -> str:
        chosen = ['job=~"$job"', 'instance=~"$instance"']
        labels = labels_of(found[1])
        if one_table and "table" in labels:
            chosen.append('table="$table"')
        if found[2]:
            chosen.append(found[2])
        return f"{found[1]}{{{', '.join(chosen)}}}"

    return _METRIC.sub(select, expr)


def document(page: Page) -> str:
    """The dashboard as Grafana reads it."""
    made = (
        dashboard.Dashboard(page.title)
        .uid(page.uid)
        .description(page.what)
        .tags(["cdcd"])
        .readonly()
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(_link_to_pages())
    )
    for variable in _variables(page):
        made = made.with_variable(variable)
    for row in page.rows:
        made = made.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            made = made.with_panel(_panel(panel, page))
    built = made.build()
    for number, shown in enumerate(built.panels or [], start=1):
        shown.id_val = number
    return json.dumps(built, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _link_to_pages() -> dashboard.DashboardLink:
    """A menu of all pages that have the tag."""
    made = dashboard.DashboardLink("cdcd").type(models.DashboardLinkType.DASHBOARDS)
    return made.tags(["cdcd"]).as_dropdown(True).keep_time(True)


def _variables(page: Page) -> list[Builder[models.VariableModel]]:
    wanted: list[Builder[models.VariableModel]] = [
        dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus"),
        _values("job", "job", "cdcd_build_info", several=True),
        _values("instance", "worker", 'cdcd_build_info{job=~"$job"}', several=True),
    ]
    if page.one_table:
        wanted.append(_values("table", "table", 'cdcd_lag_seconds{job=~"$job"}', several=False))
    return wanted


def _values(name: str, label: str, series: str, *, several: bool) -> dashboard.QueryVariable:
    """A choice of a label's values."""
    made = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(f"label_values({series}, {name})")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )
    if not several:
        return made
    every = models.VariableOption(text="All", value="$__all", selected=True)
    return made.multi(True).include_all(True).all_value(".+").current(every)


def _panel(panel: Panel, page: Page) -> Builder[models.Panel]:
    def target(query: Query, ref: str) -> prometheus.Dataquery:
        expr = selected(query.expr, one_table=page.one_table)
        return prometheus.Dataquery().expr(expr).legend_format(query.legend).ref_id(ref)

    match panel:
        case Figure():
            return _figure(panel, target)
        case Graph():
            return _graph(panel, target)
        case Listing():
            return _listing(panel, target)


Target = Callable[[Query, str], prometheus.Dataquery]


def _figure(panel: Figure, target: Target) -> Builder[models.Panel]:
    return (
        stat.Panel()
        .title(panel.title)
        .description(panel.what)
        .datasource(SOURCE)
        .span(FIGURE_WIDTH)
        .height(FIGURE_HEIGHT)
        .unit(panel.unit)
        .thresholds(_thresholds(panel))
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(target(Query(panel.query), "A").instant())
    )


def _thresholds(panel: Figure) -> dashboard.ThresholdsConfig:
    """Green, yellow, red upwards; where little is bad, red, yellow, green."""
    colours = ["green"]
    steps: list[float | None] = [None]
    if panel.bounds:
        yellow, red = panel.bounds
        colours = ["red", "yellow", "green"] if panel.low else ["green", "yellow", "red"]
        steps = [None, red, yellow] if panel.low else [None, yellow, red]
    return dashboard.ThresholdsConfig().steps(
        [models.Threshold(value=v, color=c) for v, c in zip(steps, colours, strict=True)]
    )


def _graph(panel: Graph, target: Target) -> Builder[models.Panel]:
    legend = (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(kinds.LegendDisplayMode.LIST)
        .placement(kinds.LegendPlacement.BOTTOM)
    )
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.what)
        .datasource(SOURCE)
        .span(GRAPH_WIDTH)
        .height(GRAPH_HEIGHT)
        .unit(panel.unit)
        .min(0)
        .line_width(1)
        .fill_opacity(10)
        .show_points(kinds.VisibilityMode.NEVER)
        .legend(legend)
        .tooltip(
            common.VizTooltipOptions()
            .mode(kinds.TooltipDisplayMode.MULTI)
            .sort(kinds.SortOrder.DESCENDING)
        )
    )
    for number, query in enumerate(panel.queries):
        made = made.with_target(target(query, chr(ord("A") + number)).range())
    return made


def _listing(panel: Listing, target: Target) -> Builder[models.Panel]:
    titles = {}
    made = (
        table.Panel()
        .title(panel.title)
        .description(panel.what)
        .datasource(SOURCE)
        .span(FULL_WIDTH)
        .height(LISTING_HEIGHT)
        .override_by_name("table", [_link_to_table()])
    )
    for number, query in enumerate(panel.queries):
        ref = chr(ord("A") + number)
        title, unit = panel.columns[number]
        titles[f"Value #{ref}"] = title
        shown = target(query, ref).instant().format(queries.PromQueryFormat.TABLE)
        made = made.with_target(shown).override_by_name(
            title, [models.DynamicConfigValue(id_val="unit", value=unit)]
        )
    # One line for each table, of the answers to all queries.
    merge = models.DataTransformerConfig(id_val="merge", options={})
    organize = models.DataTransformerConfig(
        id_val="organize", options={"excludeByName": {"Time": True}, "renameByName": titles}
    )
    return made.with_transformation(merge).with_transformation(organize)


def _link_to_table() -> models.DynamicConfigValue:
    url = "/d/cdcd-table?${__url_time_range}&${source:queryparam}&${job:queryparam}"
    link = {"title": "The table's page", "url": url + "&var-table=${__value.raw}"}
    return models.DynamicConfigValue(id_val="links", value=[link])


def file(page: Page) -> Path:
    """Where the page's document is."""
    return FOLDER / f"{page.uid}.json"


if __name__ == "__main__":
    for each in PAGES:
        file(each).write_text(document(each))

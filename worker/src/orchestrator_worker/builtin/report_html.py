"""Draw a report as one HTML page that needs nothing else.

Everything a client wrote is escaped by the template engine; the page has no script and
forbids itself to load anything.

Before: ``report_figures`` has the figures.
After: ``reports`` returns the page.
"""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from orchestrator_worker.builtin.report_figures import (
    COLOURS,
    GAP,
    STATES,
    Day,
    Figures,
    Incident,
    Table,
    axis_top,
    grid_values,
    is_labelled,
)

WIDTH, HEIGHT = 860, 220
LEFT, BOTTOM = 44, 22

_TEMPLATES = Environment(
    loader=PackageLoader("orchestrator_worker.builtin"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    keep_trailing_newline=True,
)


def draw(figures: Figures) -> str:
    """Return the page."""
    return _TEMPLATES.get_template("report.html.j2").render(
        figures=figures,
        colours=COLOURS,
        chart=_draw_chart(figures.days),
        table=_draw_table,
        incidents=_draw_incidents,
    )


def _draw_table(table: Table) -> Markup:
    head = _cells("th", table.header, ' scope="col"')
    rows = Markup("\n").join(_row(_cells("td", row)) for row in table.rows)
    return Markup('<div class="scroll"><table>\n{}\n{}\n</table></div>').format(_row(head), rows)


def _draw_incidents(incidents: Sequence[Incident], what: str) -> Markup:
    head = _cells("th", ("Task", "Ended", what), ' scope="col"')
    rows = Markup("\n").join(
        Markup('<tr><td>{}</td><td class="when">{}</td><td>{}</td></tr>').format(
            each.task, each.when, each.what
        )
        for each in incidents
    )
    return Markup('<div class="scroll"><table class="text">\n{}\n{}\n</table></div>').format(
        _row(head), rows
    )


def _row(cells: Markup) -> Markup:
    return Markup("<tr>{}</tr>").format(cells)


def _cells(tag: str, texts: Sequence[str], attributes: str = "") -> Markup:
    cell = Markup("<" + tag + attributes + ">{}</" + tag + ">")  # noqa: S704 - ours alone
    return Markup("").join(cell.format(text) for text in texts)


def _draw_chart(days: Sequence[Day]) -> Markup:
    top, place = axis_top(days), (WIDTH - LEFT) / len(days)
    scale = (HEIGHT - BOTTOM - 10) / top
    parts = [_grid_line(value, scale) for value in grid_values(top)]
    for number, day in enumerate(days):
        parts += _bar(day, LEFT + number * place, place * (1 - GAP), scale)
    parts += [
        _label(LEFT + number * place + place / 2, HEIGHT - 6, "middle", f"{day.day:%m-%d}")
        for number, day in enumerate(days)
        if is_labelled(number, days)
    ]
    title = "Tasks by day and state"
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" font-size="11" fill="#6b7280">{}</svg>'
    ).format(WIDTH, HEIGHT, title, Markup("").join(parts))


def _grid_line(value: int, scale: float) -> Markup:
    y = HEIGHT - BOTTOM - value * scale
    line = Markup('<path d="M{:.1f} {:.1f}H{}" stroke="#e5e7eb"/>').format(LEFT, y, WIDTH)
    return line + _label(LEFT - 6, y + 4, "end", f"{value:,}")


def _label(x: float, y: float, anchor: str, text: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        x, y, anchor, text
    )


def _bar(day: Day, x: float, width: float, scale: float) -> list[Markup]:
    parts: list[Markup] = []
    base = float(HEIGHT - BOTTOM)
    for state, tasks in zip(STATES, day.tasks, strict=True):
        if tasks:
            height = tasks * scale
            base_of_next = base - height
            parts.append(
                Markup(
                    '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}">'
                    "<title>{}: {} {}</title></rect>"
                ).format(
                    x, base_of_next, width, height, COLOURS[state], day.day, tasks, state.lower()
                )
            )
            base = base_of_next
    return parts

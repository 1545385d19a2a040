"""Draw a report as A4 pages.

Every text of a client passes ``_plain``: markup is escaped, and letters that the
typeface lacks leave a mark rather than nothing.

Before: ``report_figures`` has the figures.
After: ``reports`` returns the file.
"""

import io
from collections.abc import Sequence
from functools import partial
from xml.sax.saxutils import escape

from reportlab.graphics.shapes import Drawing, Line, Rect, String
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    CondPageBreak,
    Flowable,
    KeepTogether,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    TableStyle,
)
from reportlab.platypus import Table as DrawnTable

from orchestrator_worker.builtin.report_figures import (
    COLOURS,
    GAP,
    STATES,
    Day,
    Figures,
    Headline,
    Incident,
    Table,
    axis_top,
    grid_values,
    is_labelled,
)

TYPEFACE, BOLD = "Vera", "VeraBd"
MARGIN = 18 * mm
FRAME_PADDING = 6
"""Of the document template, within its margins."""
WIDTH = A4[0] - 2 * MARGIN
LEAST_ROOM = 35 * mm
"""Below a heading; with less, it begins a page."""
CHART_HEIGHT = 52 * mm
LEFT, BOTTOM = 11 * mm, 6 * mm
MISSING = "?"

INK, QUIET, RULE = HexColor("#1f2937"), HexColor("#6b7280"), HexColor("#e5e7eb")

pdfmetrics.registerFont(TTFont(TYPEFACE, "Vera.ttf"))
pdfmetrics.registerFont(TTFont(BOLD, "VeraBd.ttf"))
pdfmetrics.registerFontFamily(TYPEFACE, normal=TYPEFACE, bold=BOLD)


def _style(name: str, size: float, **more: object) -> ParagraphStyle:
    options = {"fontName": TYPEFACE, "textColor": INK, "splitLongWords": 1, **more}
    return ParagraphStyle(name, fontSize=size, leading=size * 1.35, **options)


TITLE = _style("title", 19, fontName=BOLD)
ABOUT = _style("about", 9, textColor=QUIET, spaceAfter=5 * mm)
HEADING = _style("heading", 11, fontName=BOLD, spaceBefore=7 * mm, spaceAfter=2 * mm)
BODY = _style("body", 9)
CELL = _style("cell", 7.5)
NUMBER = _style("number", 7.5, alignment=TA_RIGHT)
HEAD = _style("head", 7, textColor=QUIET)
HEAD_OF_NUMBER = _style("head of number", 7, textColor=QUIET, alignment=TA_RIGHT)
LARGE = _style("large", 16, fontName=BOLD)
LABEL = _style("label", 7.5, textColor=QUIET)


def draw(figures: Figures) -> bytes:
    """Return the file; the same for the same figures, byte by byte."""
    output = io.BytesIO()
    document = SimpleDocTemplate(
        output,
        pagesize=A4,
        leftMargin=MARGIN - FRAME_PADDING,
        rightMargin=MARGIN - FRAME_PADDING,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
        title=_seen(figures.title),
        author="Orchestrator",
        lang="en",
        invariant=1,
    )
    on_page = partial(_draw_footer, figures)
    document.build(_to_story(figures), onFirstPage=on_page, onLaterPages=on_page)
    return output.getvalue()


def _to_story(figures: Figures) -> list[Flowable]:
    story: list[Flowable] = [
        Paragraph(_plain(figures.title), TITLE),
        Paragraph(figures.period, ABOUT),
        _draw_headlines(figures.headlines),
    ]
    if figures.is_empty:
        story += [Spacer(1, 8 * mm), Paragraph("No task was accepted in this period.", BODY)]
        return story
    story += [_under("Tasks by day", _draw_legend(figures), _draw_chart(figures.days))]
    story += _section("By type and state", _draw_table(figures.by_type))
    if figures.latencies.rows:
        title = "How long completed tasks waited and ran"
        story += _section(title, _draw_table(figures.latencies))
    if figures.slowest:
        story += _section("The slowest", _draw_incidents(figures.slowest, "Ran"))
    if figures.failed:
        story += _section("The latest that failed", _draw_incidents(figures.failed, "Reason"))
    return story


def _under(title: str, *parts: Flowable) -> Flowable:
    return KeepTogether([Paragraph(title, HEADING), *parts])


def _section(title: str, table: Flowable) -> list[Flowable]:
    # Not kept together: a table may go over pages.
    return [CondPageBreak(LEAST_ROOM), Paragraph(title, HEADING), table]


def _draw_headlines(headlines: Sequence[Headline]) -> Flowable:
    cells = [[Paragraph(each.value, LARGE), Paragraph(each.label, LABEL)] for each in headlines]
    style = TableStyle(
        [
            ("LINEABOVE", (0, 0), (-1, 0), 1.5, INK),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("RIGHTPADDING", (0, 0), (-1, -1), 4 * mm),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ]
    )
    return DrawnTable([cells], colWidths=[WIDTH / len(cells)] * len(cells), style=style)


def _draw_table(table: Table) -> Flowable:
    rest = len(table.header) - 1
    first = WIDTH * 0.34
    rows = [_to_cells(table.header, HEAD, HEAD_OF_NUMBER)]
    rows += [_to_cells(row, CELL, NUMBER) for row in table.rows]
    return DrawnTable(
        rows,
        colWidths=[first, *[(WIDTH - first) / rest] * rest],
        repeatRows=1,
        style=_ruled(),
    )


def _draw_incidents(incidents: Sequence[Incident], what: str) -> Flowable:
    rows = [[Paragraph(text, HEAD) for text in ("Task", "Ended (UTC)", what)]]
    rows += [
        [Paragraph(_plain(text), CELL) for text in (each.task, each.when, each.what)]
        for each in incidents
    ]
    widths = [WIDTH * 0.3, WIDTH * 0.2, WIDTH * 0.5]
    return DrawnTable(rows, colWidths=widths, repeatRows=1, style=_ruled())


def _to_cells(
    texts: Sequence[str], first: ParagraphStyle, others: ParagraphStyle
) -> list[Paragraph]:
    name, *numbers = texts
    return [
        Paragraph(_plain(name), first),
        *(Paragraph(_plain(each), others) for each in numbers),
    ]


def _ruled() -> TableStyle:
    return TableStyle(
        [
            ("LINEBELOW", (0, 0), (-1, -1), 0.5, RULE),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("LEFTPADDING", (1, 0), (-1, -1), 3),
            ("RIGHTPADDING", (0, 0), (-1, -1), 2),
            ("TOPPADDING", (0, 0), (-1, -1), 2.5),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 3.5),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ]
    )


def _draw_legend(figures: Figures) -> Flowable:
    drawing = Drawing(WIDTH, 5 * mm)
    x = 0.0
    for state in figures.states:
        drawing.add(_box(x, 1, 7, 7, HexColor(COLOURS[state])))
        drawing.add(_text(x + 10, 2, state.lower()))
        x += 10 + pdfmetrics.stringWidth(state.lower(), TYPEFACE, 7) + 5 * mm
    return drawing


def _draw_chart(days: Sequence[Day]) -> Flowable:
    drawing = Drawing(WIDTH, CHART_HEIGHT)
    top, place = axis_top(days), (WIDTH - LEFT) / len(days)
    scale = (CHART_HEIGHT - BOTTOM - 2 * mm) / top
    for value in grid_values(top):
        y = BOTTOM + value * scale
        drawing.add(Line(LEFT, y, WIDTH, y, strokeColor=RULE, strokeWidth=0.5))
        drawing.add(_text(LEFT - 2 * mm, y - 2, f"{value:,}", anchor="end"))
    for number, day in enumerate(days):
        x, base = LEFT + number * place, BOTTOM
        for state, tasks in zip(STATES, day.tasks, strict=True):
            if tasks:
                colour = HexColor(COLOURS[state])
                drawing.add(_box(x, base, place * (1 - GAP), tasks * scale, colour))
                base += tasks * scale
        if is_labelled(number, days):
            drawing.add(_text(x + place * (1 - GAP) / 2, 1, f"{day.day:%m-%d}", anchor="middle"))
    return drawing


def _box(x: float, y: float, width: float, height: float, colour: Color) -> Rect:
    return Rect(x, y, width, height, fillColor=colour, strokeColor=None)


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> String:
    return String(x, y, text, fontName=TYPEFACE, fontSize=7, fillColor=QUIET, textAnchor=anchor)


def _draw_footer(figures: Figures, canvas: Canvas, _: SimpleDocTemplate) -> None:
    canvas.saveState()
    canvas.setFont(TYPEFACE, 7)
    canvas.setFillColor(QUIET)
    about = f"Read {figures.read_at}. A task belongs to the day on which it was accepted."
    canvas.drawString(MARGIN, 10 * mm, about)
    canvas.drawRightString(A4[0] - MARGIN, 10 * mm, f"Page {canvas.getPageNumber()}")
    canvas.restoreState()


def _plain(text: str) -> str:
    return escape(_seen(text))


def _seen(text: str) -> str:
    """Return the text with a mark for each letter that the typeface lacks."""
    known = pdfmetrics.getFont(TYPEFACE).face.charToGlyph
    return "".join(each if ord(each) in known else MISSING for each in text)

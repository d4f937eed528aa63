"""Learning curves as SVG, the same bytes for the same records, without any package.

text = curves("resnet20", [Panel("macs=50%", [Curve("random", mean, deviation)])], label="top1, %")
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log2, log10
from xml.sax.saxutils import escape

COLORS = ("#d1495b", "#1b6ca8", "#2a9d5c", "#e08e16", "#7b4fa3", "#5f6b73", "#17a2a2", "#8c5a2b", "#b0388f")
DASHES = ("", "7 3", "2 3")  # of the first lines, of those that the colours come round to, and so on
WIDTH, HEIGHT = 420, 270  # of a panel with its margins
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 30, 40
LINE = 18  # of the legend
FIRST = 4  # evaluations at the left edge
POINTS = 160
TICKS = 5


@dataclass(frozen=True)
class Curve:
    """One line and its band.

    Attributes:
        label: In the legend.
        mean, deviation: By evaluation, from 1; NaN where nothing is known.
    """

    label: str
    mean: Sequence[float]
    deviation: Sequence[float]


@dataclass(frozen=True)
class Ink:
    """How a line is told from the others."""

    color: str
    dashes: str

    @staticmethod
    def of(number: int) -> "Ink":
        """Of the line with this number in the legend."""
        return Ink(COLORS[number % len(COLORS)], DASHES[number // len(COLORS) % len(DASHES)])

    @property
    def stroke(self) -> str:
        """As attributes."""
        dashed = f' stroke-dasharray="{self.dashes}"' if self.dashes else ""
        return f'stroke="{self.color}"{dashed}'


@dataclass(frozen=True)
class Panel:
    """One coordinate system."""

    title: str
    curves: Sequence[Curve]


@dataclass(frozen=True)
class Frame:
    """From numbers to places: evaluations on a logarithmic axis, figures on a linear one."""

    left: float
    first: int
    last: int
    low: float
    high: float

    def x(self, evaluation: float) -> float:
        share = log2(evaluation / self.first) / max(1e-9, log2(self.last / self.first))
        return self.left + LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def curves(title: str, panels: Sequence[Panel], *, label: str) -> str:
    """The picture: panels side by side, one legend below."""
    labels = list(dict.fromkeys(curve.label for panel in panels for curve in panel.curves))
    inks = {name: Ink.of(number) for number, name in enumerate(labels)}
    width, height = WIDTH * max(1, len(panels)), HEIGHT + 8 + LINE * ceil(len(labels) / columns(panels))
    place = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {place} font-family="sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, panel in enumerate(panels):
        parts += drawn(panel, number * WIDTH, inks, label)
    parts += legend(inks, columns(panels))
    return "\n".join([*parts, "</svg>"]) + "\n"


def columns(panels: Sequence[Panel]) -> int:
    """Of the legend."""
    return 2 * max(1, len(panels))


def drawn(panel: Panel, left: int, inks: dict[str, Ink], label: str) -> Iterator[str]:
    """One panel."""
    frame = frame_of(panel, left)
    yield text(left + (LEFT + WIDTH - RIGHT) / 2, TOP - 12, panel.title, anchor="middle", bold=True)
    yield from axes(frame, label)
    for curve in panel.curves:
        at = [e for e in steps(frame, len(curve.mean)) if isfinite(curve.mean[e - 1])]
        if at:
            yield from line(curve, at, frame, inks[curve.label])


def frame_of(panel: Panel, left: int) -> Frame:
    last = max([FIRST + 1, *(len(curve.mean) for curve in panel.curves)])
    shown = (curve.mean[min(FIRST, len(curve.mean)) - 1 :] for curve in panel.curves)
    seen = [value for values in shown for value in values if isfinite(value)]
    low, high = min(seen, default=0.0), max(seen, default=1.0)
    room = 0.06 * (high - low) or 0.5
    return Frame(left, FIRST, last, low - room, high + room)


def steps(frame: Frame, length: int) -> list[int]:
    """Evaluations at which a line is drawn, closer together where less is evaluated."""
    ratio = (frame.last / frame.first) ** (1 / POINTS)
    found = {min(length, round(frame.first * ratio**number)) for number in range(POINTS + 1)}
    return sorted(number for number in found if number >= min(frame.first, length))


def line(curve: Curve, at: Sequence[int], frame: Frame, ink: Ink) -> Iterator[str]:
    upper = [(frame.x(max(e, FIRST)), frame.y(curve.mean[e - 1] + curve.deviation[e - 1])) for e in at]
    lower = [(frame.x(max(e, FIRST)), frame.y(curve.mean[e - 1] - curve.deviation[e - 1])) for e in at]
    middle = [(frame.x(max(e, FIRST)), frame.y(curve.mean[e - 1])) for e in at]
    if any(curve.deviation[e - 1] for e in at):
        yield f'<polygon points="{points([*upper, *lower[::-1]])}" fill="{ink.color}" fill-opacity="0.15"/>'
    if len(middle) == 1:  # a choice without a search
        x, y = middle[0]
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{ink.color}"/>'
        middle.append((frame.x(frame.last), y))
    yield f'<polyline points="{points(middle)}" fill="none" {ink.stroke} stroke-width="1.6"/>'


def axes(frame: Frame, label: str) -> Iterator[str]:
    right, bottom = frame.x(frame.last), HEIGHT - BOTTOM
    for value in ticks(frame.low, frame.high):
        y = frame.y(value)
        across = f"M{frame.x(frame.first):.1f} {y:.1f}H{right:.1f}"
        yield f'<path d="{across}" stroke="#dddddd" stroke-width="0.6"/>'
        yield text(frame.x(frame.first) - 6, y + 4, f"{value:g}", anchor="end")
    power = ceil(log2(frame.first))
    while 2**power <= frame.last:
        x = frame.x(2**power)
        yield f'<path d="M{x:.1f} {bottom}v4" stroke="#555555"/>'
        yield text(x, bottom + 16, f"{2**power}", anchor="middle")
        power += 1
    corner = f"M{frame.x(frame.first):.1f} {TOP}V{bottom}H{right:.1f}"
    yield f'<path d="{corner}" fill="none" stroke="#555555" stroke-width="0.8"/>'
    yield text((frame.x(frame.first) + right) / 2, bottom + 32, "evaluations", anchor="middle")
    x, y = frame.left + 14, (TOP + bottom) / 2
    turned = f'transform="rotate(-90 {x:.0f} {y:.0f})"'
    yield f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle" fill="#222222" {turned}>{escape(label)}</text>'


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between two, about five."""
    rough = (high - low) / TICKS
    size = 10 ** floor(log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    first = ceil(low / step)
    return [round(number * step, 10) for number in range(first, floor(high / step) + 1)]


def legend(inks: dict[str, Ink], count: int) -> Iterator[str]:
    for number, (name, ink) in enumerate(inks.items()):
        x, y = 20 + (number % count) * WIDTH / 2, HEIGHT + LINE * (number // count) + 6
        yield f'<path d="M{x:.0f} {y:.0f}h18" {ink.stroke} stroke-width="2.4"/>'
        yield text(x + 24, y + 4, name)


def points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def text(x: float, y: float, words: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#222222"{weight}>{escape(words)}</text>'
    )

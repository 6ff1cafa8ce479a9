"""The figures of one kind of request, and the table of all kinds."""

import statistics
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ops.bench.load import Turn

WRONG_AT_MOST = 0.001

COLUMNS = ("", "CPU µs", "× hello", "requests/s", "p50 ms", "p99 ms")  # noqa: RUF001 - the sign of a multiple


@dataclass(slots=True)
class Figures:
    """The figures of one kind of request to one server; each list has an entry for each round."""

    cpu_us: list[float] = field(default_factory=list)
    """The server's CPU time for a request."""
    per_s: list[float] = field(default_factory=list)
    server_share: list[float] = field(default_factory=list)
    """The share of its core that the server used."""
    sender_share: list[float] = field(default_factory=list)
    latencies_s: "array[float]" = field(default_factory=lambda: array("f"))
    answers: int = 0
    wrong: Counter[str] = field(default_factory=Counter)

    def add(self, turn: Turn, cpu_s: float) -> None:
        """Add a turn in which the server used `cpu_s` of CPU time."""
        assert turn.answers, f"no answer at all: {dict(turn.wrong)}"
        self.cpu_us.append(cpu_s / turn.answers * 1e6)
        self.per_s.append(turn.answers / turn.took_s)
        self.server_share.append(cpu_s / turn.took_s)
        self.sender_share.append(turn.cpu_s / turn.took_s)
        self.latencies_s.extend(turn.latencies_s)
        self.answers += turn.answers
        self.wrong += turn.wrong

    @property
    def capacity(self) -> float:
        """Requests a second."""
        return statistics.median(self.per_s)

    @property
    def p50_ms(self) -> float:
        return percentile_ms(self.latencies_s, 50)

    @property
    def p99_ms(self) -> float:
        return percentile_ms(self.latencies_s, 99)

    @property
    def too_often_wrong(self) -> bool:
        return self.wrong.total() > WRONG_AT_MOST * self.answers


def percentile_ms(latencies_s: Sequence[float], percent: int) -> float:
    ordered = sorted(latencies_s)
    return ordered[len(ordered) * percent // 100] * 1e3


def ratio(these: Sequence[float], those: Sequence[float]) -> str:
    """The median of the rounds' ratios and, in brackets, their quartiles."""
    ratios = [this / that for this, that in zip(these, those, strict=True)]
    if len(ratios) < 2:
        return f"{ratios[0]:.2f}"
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return f"{median:.2f} [{low:.2f} {high:.2f}]"


def row(name: str, figures: Figures, hello: Figures) -> tuple[str, ...]:
    return (
        name,
        f"{statistics.median(figures.cpu_us):.1f}",
        "1" if figures is hello else ratio(figures.cpu_us, hello.cpu_us),
        f"{figures.capacity:,.0f}".replace(",", " "),
        f"{figures.p50_ms:.2f}",
        f"{figures.p99_ms:.2f}",
    )


def ratio_row(name: str, here: Figures, other: Figures) -> tuple[str, ...]:
    """The ratios of this checkout to the other one."""
    return (
        name,
        ratio(here.cpu_us, other.cpu_us),
        "",
        f"{here.capacity / other.capacity:.2f}",
        f"{here.p50_ms / other.p50_ms:.2f}",
        f"{here.p99_ms / other.p99_ms:.2f}",
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table in Markdown."""
    widths = [max(len(one[at]) for one in (columns, *rows)) for at in range(len(columns))]
    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    return "\n".join(_line(one, widths) for one in (columns, rule, *rows))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """A row: the first cell aligned left, the figures right."""
    first, *rest = cells
    padded = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
    return f"| {' | '.join(padded)} |"

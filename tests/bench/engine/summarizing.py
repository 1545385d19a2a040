"""From cells to the figures that are published: medians, and the machine-readable summary. Pure.

Before: ``running`` has all cells.
After: ``reporting`` writes the tables; programs read ``summary.json``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.engine.figures import Cell, Roofline, Spread, percentile

_DIGITS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything a run has found."""

    cells: Sequence[Cell]
    roofline: Roofline | None = None
    http_rates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """201s per second of each round, by system."""
    worker_profile: str = ""
    """What our worker computes during a burn-down, as a table of text."""

    def cells_of(self, scenario: str, system: str) -> list[Cell]:
        """Return the repetitions of one system in one scenario."""
        return [each for each in self.cells if (each.scenario, each.system) == (scenario, system)]

    def list_systems(self, scenario: str) -> list[str]:
        """Return who took part, in the order of the first repetition."""
        return list(dict.fromkeys(each.system for each in self.cells if each.scenario == scenario))

    def rates(self, scenario: str) -> dict[str, Spread]:
        """Return tasks per second, by system."""
        return {
            system: Spread.of([cell.per_second for cell in self.cells_of(scenario, system)])
            for system in self.list_systems(scenario)
        }

    def latencies(self, percent: float) -> dict[str, Spread]:
        """Return a percentile in milliseconds, each repetition's own, by system."""
        return {
            system: Spread.of(
                [
                    percentile(cell.latencies_ms, percent)
                    for cell in self.cells_of("latency", system)
                ]
            )
            for system in self.list_systems("latency")
        }

    def cpu_us(self, scenario: str, system: str) -> dict[str, float]:
        """Return the median CPU time per task, by component."""
        cells = self.cells_of(scenario, system)
        return {
            name: Spread.of([cell.cpu_us[name] for cell in cells]).median
            for name in cells[0].cpu_us
        }

    def stations(self) -> dict[str, float]:
        """Return the milliseconds of each leg of our tasks' way, the median of all repetitions."""
        cells = [cell for cell in self.cells if cell.stations_ms]
        return {
            leg: Spread.of([cell.stations_ms[leg] for cell in cells]).median
            for leg in (cells[0].stations_ms if cells else ())
        }

    def http(self) -> dict[str, Spread]:
        """Return 201s per second, by system."""
        return {system: Spread.of(rates) for system, rates in self.http_rates.items()}

    def lost(self) -> dict[str, int]:
        """Return how many tasks each system lost in all its cells."""
        systems = dict.fromkeys(each.system for each in self.cells)
        return {
            system: sum(each.lost for each in self.cells if each.system == system)
            for system in systems
        }


def build_summary(findings: Findings) -> dict[str, object]:
    """Return what ``summary.json`` holds."""
    p50, p99 = findings.latencies(50), findings.latencies(99)
    roofline = findings.roofline
    return {
        "drain_per_s": _to_medians(findings.rates("drain")),
        "submit_http_per_s": _to_medians(findings.http()),
        "latency_ms": {
            system: {
                "p50": round(p50[system].median, _DIGITS),
                "p99": round(p99[system].median, _DIGITS),
            }
            for system in p50
        },
        "roofline_per_s": None if roofline is None else round(roofline.per_second, _DIGITS),
        "lost": findings.lost(),
    }


def _to_medians(spreads: Mapping[str, Spread]) -> dict[str, float]:
    return {system: round(spread.median, _DIGITS) for system, spread in spreads.items()}

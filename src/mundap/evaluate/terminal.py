"""A comparison in the terminal: the KULLM table beside the published rows, every measure, the paired differences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mundap.evaluate import findings
from mundap.evaluate.compare import Comparison, Difference, Measure
from mundap.evaluate.report import named, number, probability, published, signed, words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def show(comparison: Comparison, console: Console | None = None) -> None:
    """Print the tables."""
    from rich.console import Console

    console = console or Console(highlight=False)
    headline = findings.headline(findings.leads(comparison, words()["leads"]), words()["medicine"])
    console.print(_headline(headline), markup=False, soft_wrap=True)
    for table in (_kullm(comparison), _measures(comparison), *_worst(comparison), _paired(comparison)):
        if table.row_count:
            console.print(table)
    for note in (*comparison.notes, words()["notice"]["en"]):
        console.print(note, markup=False, soft_wrap=True, style="dim")


def rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """The same as plain data, one object after the other; `kind` says what each is."""
    kinds = {
        "target": comparison.targets,
        "set": comparison.sets,
        "measure": comparison.measures,
        "difference": comparison.differences,
    }
    for kind, found in kinds.items():
        yield from ({"kind": kind, **each.model_dump(mode="json")} for each in found)
    yield from ({"kind": "note", "text": note} for note in comparison.notes)


def _headline(found: findings.Headline) -> str:
    w = words()
    if not found.targets:
        return str(w["headline_none"]["en"])
    if len(found.targets) > 1:
        text = w["headline_tie"]["en"].format(of=found.of, first=found.first, targets=", ".join(found.targets))
        return str(text)
    said = w["headline"]["en"].format(of=found.of, first=found.first, target=found.targets[0])
    return f"{said} {w['sure']['en'].format(sure=found.sure, unsure=found.first - found.sure)}"


def _kullm(comparison: Comparison) -> Table:
    """Our rows above the published ones; empty when nothing of ours was judged."""
    criteria = published()["criteria"]
    found: dict[tuple[str, str], dict[str, Measure]] = {}
    for each in comparison.measures:
        rubric, _, criterion = each.metric.partition(".")
        if rubric == published()["rubric"] and criterion in criteria:
            found.setdefault((each.target, each.set), {})[criterion] = each
    table = _table("KULLM", "model", "n", *criteria)
    for (target, _), cells in found.items():
        values = [_value(cells[name]) if name in cells else "" for name in criteria]
        _add(table, target, str(max(each.n for each in cells.values())), *values)
    for row in published()["rows"] if found else ():
        means = [f"{mean:.3f}" for mean in row["means"]]
        _add(table, f"{row['name']} (published)", str(published()["items"]), *means, style="dim")
    return table


def _measures(comparison: Comparison) -> Table:
    """A row for each measure on each set, a column for each target; parts of a measure are left to the report."""
    names = list(dict.fromkeys(each.target for each in comparison.measures))
    table = _table("measures: mean [95 %], n, failures", "measure", "set", *names)
    found: dict[tuple[str, str], dict[str, Measure]] = {}
    for each in comparison.measures:
        found.setdefault(each.key, {})[each.target] = each
    whole = {metric for _, metric in found}
    for (name, metric), cells in found.items():
        if findings.worst_at(metric):
            continue
        if ":" not in metric or metric.partition(":")[0] not in whole:
            first = next(iter(cells.values()))
            _add(table, _measure(first), name, *(_full(cells[each]) if each in cells else "" for each in names))
    return table


def _worst(comparison: Comparison) -> Iterator[Table]:
    """A table for each measure of several answers to each item: a row for each target, a column for each k."""
    for found in findings.worst(comparison):
        title = words()["worst"]["title"]["en"].format(metric=named(found.metric)["en"])
        table = _table(f"{title}, {found.set}", "target", *found.columns)
        for target, cells in found.rows.items():
            values = [_full(cell) if cell else "–" for cell in cells]
            _add(table, target, *values, *["–"] * (len(found.columns) - len(cells)))
        yield table


def _measure(each: Measure) -> str:
    direction = {"higher": " ↑", "lower": " ↓", "none": ""}[each.better]
    chance = "" if each.chance is None else f" (chance {number(each.chance)})"
    return f"{named(each.metric)['en']}{direction}{chance}"


def _full(each: Measure) -> str:
    failed = f", {each.failures} failed" if each.failures else ""
    return f"{_value(each)}\nn {each.n:,}{failed}"


def _value(each: Measure) -> str:
    ends = "" if each.low is None or each.high is None else f" [{number(each.low)}, {number(each.high)}]"
    return number(each.mean) + ends


def _paired(comparison: Comparison) -> Table:
    table = _table("paired differences", "measure", "set", "comparison", "n", "difference", "95 %", "p", "p (Holm)")
    corrected = findings.holm([each.p for each in comparison.judged])
    for each, p in zip(comparison.judged, corrected, strict=True):
        style = "bold" if findings.clear(each, p) else ""
        _add(table, *_difference(each), probability(each.p), probability(p), style=style)
    return table


def _difference(each: Difference) -> tuple[str, ...]:
    ends = "" if each.low is None or each.high is None else f"[{number(each.low)}, {number(each.high)}]"
    pair = f"{each.a} − {each.b}"
    return named(each.metric)["en"], each.set, pair, str(each.n), signed(each.difference), ends


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(Text(name), justify="right" if name == "n" else "left", overflow="fold")
    return table


def _add(table: Table, *cells: str, style: str = "") -> None:
    """A row whose cells are text as it stands: a name may hold what rich would read as markup."""
    from rich.text import Text

    table.add_row(*map(Text, cells), style=style)

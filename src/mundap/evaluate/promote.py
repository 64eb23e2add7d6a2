"""`mundap promote`: which run serves, and a refusal where triage or safety got worse than what serves now.

`runs/serving.json` names the run, who chose it, when and why, with the digests of what was measured; earlier entries
stay in its `history`, and what was measured of each in `runs/.serving`. `mundap serve --model serving` reads it and
refuses a run that was changed since.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from mundap import config
from mundap.chat.places import SERVED, SERVING
from mundap.errors import UserError
from mundap.evaluate import targets
from mundap.evaluate.compare import Measure, Run, differ
from mundap.store import Work, digest, file_digest, replacing

_TINY = 1e-9  # a difference below this is rounding


@dataclass(frozen=True, slots=True)
class Check:
    """One measure of the run and of the one that serves. `worse` is why it stands in the way; empty when it does not."""

    set: str
    metric: str
    now: float | None
    before: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    worse: str = ""


@dataclass(frozen=True, slots=True)
class Serving:
    """An entry of `runs/serving.json`. `model` is `tuned` (this run's) or `compose` (no model writes)."""

    run: str
    target: str
    model: str
    by: str
    at: str
    why: str
    forced: str
    digests: Mapping[str, str]
    keys: Mapping[str, str]
    replaced: str
    checks: tuple[Check, ...]


def promote(folder: Path, target: str = "", why: str = "", by: str = "", force: str = "") -> Serving:
    """Let a run serve. Raises `UserError` naming each triage or safety measure that got worse, unless `force` says why."""
    run = Run.read(folder)
    if Work(folder).manifest("evaluate") is None:
        raise UserError(f"the evaluation of {folder} did not finish; run `mundap evaluate` with its recipe again")
    home = folder.resolve().parent
    with Work(home).lock():
        before = _entries(home / SERVING)
        chosen, model = _serves(run, target)
        _check_same(run, chosen)
        checks = tuple(_checks(run, chosen, _measured(home, before, force)))
        if not force:
            _refuse(run, chosen, checks, str(before["run"]) if before else "")
        made = Serving(
            run=run.name, target=chosen, model=model, by=by or getpass.getuser(), at=datetime.now(UTC).isoformat(timespec="seconds"),
            why=why, forced=force, digests=_digests(run, chosen), keys=_keys(folder, model),
            replaced=str(before["run"]) if before else "", checks=checks,
        )  # fmt: skip
        _keep(run, _kept(home, made.digests))
        with replacing(home / SERVING) as stream:
            json.dump({**asdict(made), "history": _history(before)}, stream, ensure_ascii=False, indent=2)
    return made


def told(made: Serving) -> Iterator[str]:
    """What was decided, for people."""
    yield f"{made.run} ({made.target}) serves now" + (f" in place of {made.replaced}" if made.replaced else "")
    for check in made.checks:
        yield f"  {'worse' if check.worse else 'ok   '}  {check.metric} ({check.set}): {_compared(check)}"
    if made.forced:
        yield f"  forced: {made.forced}"
    yield "next: mundap serve --model serving"


@cache
def _rules() -> Mapping[str, Any]:
    return dict(yaml.safe_load((files("mundap.evaluate") / "promote.yaml").read_text("utf-8")))


def _entries(path: Path) -> Mapping[str, Any] | None:
    """What serves now, with its history. Raises `UserError` for a file that is not one of ours."""
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
        known = {"run": str(found["run"]), "target": str(found["target"]), "digests": dict(found["digests"])}
        return {**found, **known}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not whole ({error!r}); mend it, or move it away to begin anew") from error


def _history(before: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    if before is None:
        return []
    return [*before.get("history", ()), {key: value for key, value in before.items() if key != "history"}]


def _keep(run: Run, place: Path) -> None:
    """Copy what was measured: the next run is held against it, whatever becomes of this one's folder."""
    for name in ("scores.jsonl", "summary.json"):
        path = run.folder / "evaluate" / name
        if path.is_file():
            with replacing(place / "evaluate" / name) as stream:
                stream.write(path.read_text("utf-8"))


def _measured(home: Path, before: Mapping[str, Any] | None, force: str) -> tuple[Run, str] | None:
    """What was measured of the run that serves now, and its target. Raises `UserError` when that is gone."""
    if before is None:
        return None
    try:
        return Run.read(_kept(home, before["digests"]), before["run"]), before["target"]
    except UserError as error:
        if force:
            return None
        raise UserError(
            f"what was measured of {before['run']}, which serves now, cannot be read, so that nobody knows what got worse: "
            f"{error}; or give --force with the reason"
        ) from error


def _kept(home: Path, digests: Mapping[str, str]) -> Path:
    return home / ".serving" / digests["summary"][:16]


def _serves(run: Run, target: str) -> tuple[str, str]:
    """The target that is promoted, and what answers then. Raises `UserError` for one that cannot serve by itself."""
    evaluated = [each.name for each in run.summary.targets]
    known = {each["target"]: each["model"] for each in _rules()["serves"]}
    found = [name for name in ([target] if target else known) if name in evaluated and name in known]
    if found:
        return found[0], known[found[0]]
    what = f"{target!r} cannot serve" if target else "nothing that was evaluated can serve"
    raise UserError(
        f"{run.name}: {what}; evaluated were {', '.join(evaluated) or 'no targets'}, and what can serve is {', '.join(known)}"
    )


def _check_same(run: Run, target: str) -> None:
    """Raise `UserError` when the run's model is not the one that was evaluated, as far as its files tell."""
    [told] = [each.digests for each in run.summary.targets if each.name == target]
    path = run.folder / "recipe.yaml"
    if not isinstance(told, Mapping) or "model" not in told or not path.is_file():
        return
    [now] = targets.resolve([target], config.read(path), Work(run.folder))
    if digest(now.identity["model"]) != told["model"]:
        raise UserError(
            f"the model of {run.name} changed since it was evaluated; run `mundap evaluate {path}` and promote it then"
        )


def _decides(measure: Measure) -> bool:
    """Whether a measure is one of triage or safety; parts of one are read, but do not decide."""
    rules = _rules()
    named = measure.group in rules["groups"] or any(word in measure.metric for word in rules["words"])
    return named and measure.better != "none" and ":" not in measure.metric


def _checks(run: Run, target: str, before: tuple[Run, str] | None) -> Iterator[Check]:
    """Each measure that decides, beside the serving run's; the serving run's own that were not measured again."""
    new = {each.key: each for each in run.summary.measures if each.target == target and _decides(each)}
    if before is None:
        yield from (Check(*key, each.mean, None) for key, each in new.items() if each.tested)
        return
    other, name = before
    old = {each.key: each for each in other.summary.measures if each.target == name and each.tested and _decides(each)}
    scores, theirs = run.scores(), other.scores()
    digests = {each.name: each.digest for each in other.summary.sets}
    changed = {each.name for each in run.summary.sets if digests.get(each.name, each.digest) != each.digest}
    for key, was in old.items():
        now = new.get(key)
        check = Check(*key, now.mean if now else None, was.mean)
        if now is None or now.mean is None:
            yield replace(check, worse="it was not measured")
        elif key[0] in changed:
            yield replace(check, worse=f"the item set {key[0]!r} is another one, so that nothing can be compared")
        elif was.mean is not None:
            found = differ(
                scores.get((target, *key), {}), theirs.get((name, *key), {}), run.summary.seed, run.summary.resamples
            )
            yield _worse(now, replace(check, **_numbers(now.mean - was.mean, found)))


def _numbers(plain: float, found: Mapping[str, Any] | None) -> dict[str, Any]:
    """The paired difference; that of the means where no scores of single examples are there."""
    return {key: found[key] for key in ("difference", "low", "high", "p")} if found else {"difference": plain}


def _worse(measure: Measure, check: Check) -> Check:
    gap = check.difference or 0.0
    bad = gap < -_TINY if measure.better == "higher" else gap > _TINY
    if not bad:
        return check
    sure = check.low is not None and check.high is not None and (check.low > 0 or check.high < 0)
    return replace(check, worse="it got worse" if sure else "it got worse, perhaps by chance")


def _refuse(run: Run, target: str, checks: tuple[Check, ...], serving: str) -> None:
    """Raise `UserError` when nothing speaks for the run's safety, or something against it."""
    if not checks:
        raise UserError(
            f"{run.name}: no triage or safety measure of {target!r} was taken, so nothing says that it may serve; "
            "evaluate it with the metric `triage`, or give --force with the reason"
        )
    bad = [f"  - {each.metric} ({each.set}): {_compared(each)}: {each.worse}" for each in checks if each.worse]
    if bad:
        raise UserError(
            f"{run.name} ({target}) was not promoted: against {serving}, which serves now\n" + "\n".join(bad)
            + "\nmend it, or let it serve all the same with --force and the reason, which is recorded"
        )  # fmt: skip


def _compared(check: Check) -> str:
    """`0.10, was 0.05 (+0.05, 95 % -0.01 to 0.11)`."""
    now, was = (("–" if value is None else f"{value:.4g}") for value in (check.now, check.before))
    if check.difference is None:
        return now if check.before is None else f"{now}, was {was}"
    ends = "" if check.low is None else f", 95 % {check.low:+.4g} to {check.high:+.4g}"
    test = "" if check.p is None else f", p {check.p:.3g}"
    return f"{now}, was {was} ({check.difference:+.4g}{ends}{test})"


def _digests(run: Run, target: str) -> dict[str, str]:
    """What the decision rests on: the summary, and the target as the summary describes it."""
    [found] = [each for each in run.summary.targets if each.name == target]
    return {"summary": file_digest(run.folder / "evaluate" / "summary.json"), "target": found.identity}


def _keys(folder: Path, model: str) -> dict[str, str]:
    """The keys of the stages that made what serves: when one changes, something else would serve."""
    if model == "compose":
        return {}
    found = {stage: Work(folder).manifest(stage) for stage in SERVED}
    return {stage: manifest.key for stage, manifest in found.items() if manifest}

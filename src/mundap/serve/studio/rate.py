"""The rating pages: two answers side by side without their names, and what the judgements come to."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from mundap.errors import UserError
from mundap.evaluate import people
from mundap.evaluate.people import Judgement, Mark, Queue
from mundap.serve.studio import runs
from mundap.serve.studio.pages import page

Form = Mapping[str, list[str]]
# A page is read while people wait for it; the intervals of a report are made of more.
_RESAMPLES = 200
_PLACES = ("left", "right")


def routes(router: APIRouter, root: Path, form: Callable[[Request], Coroutine[Any, Any, Form]]) -> None:
    """Add the rating pages of the runs in `root`; `form` reads what was filled in."""
    _rating(router, root, Depends(form))
    _results(router, root, Depends(form))


def _rating(router: APIRouter, root: Path, fields: Any) -> None:
    @router.get("/runs/{name}/rate")
    def rating(request: Request, name: str, rater: str = "", again: bool = False) -> HTMLResponse:
        queue = _queue(root, name)
        if not rater:
            return page(request, "rater.html", name=name, state=queue.state() if queue.exists else None)
        rater = people.check_rater(rater)
        last = queue.last(rater) if again else None
        pair = queue.pair(last.pair) if last else queue.take(rater)
        values: dict[str, Any] = {"name": name, "rater": rater, "state": queue.state()}
        if pair is None:
            return page(request, "rated.html", **values)
        shown = zip(_PLACES, people.shown(pair.id, rater), strict=True)
        sides = [(place, pair.text(side), last.mark(side) if last else Mark()) for place, side in shown]
        return page(
            request, "rate.html", pair=pair, sides=sides, last=last, form=people.form(), began=time.time(), **values
        )

    @router.post("/runs/{name}/rate")
    def rated(name: str, given: Form = fields) -> Response:
        judgement = _judgement(given)
        _queue(root, name).judge(judgement)
        return RedirectResponse(f"/studio/runs/{name}/rate?{urlencode({'rater': judgement.rater})}", 303)


def _results(router: APIRouter, root: Path, fields: Any) -> None:
    @router.get("/runs/{name}/people")
    def results(request: Request, name: str) -> HTMLResponse:
        from mundap.evaluate.ratings import preferences, ratings

        queue, found = _queue(root, name), runs.runs(root)
        pairs, judgements = (queue.pairs(), queue.judgements()) if queue.exists else ({}, [])
        rows, left = preferences(pairs, judgements)
        return page(
            request, "people.html", name=name, form=people.form(), state=queue.state() if queue.exists else None,
            ratings=ratings(pairs, judgements, resamples=_RESAMPLES), preferences=len(rows), left=left,
            names=_names([each.path for each in found if each.name == name]),
            others=_names([each.path for each in found if each.name != name]),
        )  # fmt: skip

    @router.post("/runs/{name}/people")
    def fill(name: str, given: Form = fields) -> Response:
        run = runs.run(root, name).path
        chosen = set(given.get("who", ()))
        among = [runs.run(root, each).path for each in sorted({who.partition("/")[0] for who in chosen} - {name})]
        sides = [each for each in people.contestants([run, *among]) if each.name in chosen]
        if len(sides) < 2:
            raise UserError("choose two or more whose answers are to be compared")
        overlap = _number(given, "overlap", 20) / 100
        _queue(root, name).fill(people.pairs(sides, people.common([run, *among])), int(_number(given, "raters", 2)), overlap)  # fmt: skip
        return RedirectResponse(f"/studio/runs/{name}/people", 303)

    @router.get("/runs/{name}/people/preferences.jsonl")
    def download(name: str) -> Response:
        from mundap.evaluate.ratings import preferences

        queue = _queue(root, name)
        if not queue.exists:
            raise runs.Missing("nothing has been judged in this run")
        rows, _ = preferences(queue.pairs(), queue.judgements())
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        told = f'attachment; filename="{name}-preferences.jsonl"'
        return Response(text, media_type="application/jsonl; charset=utf-8", headers={"Content-Disposition": told})


def _queue(root: Path, name: str) -> Queue:
    return Queue(runs.run(root, name).path)


def _names(paths: Sequence[Path]) -> list[tuple[str, int]]:
    return [(each.name, len(each.texts)) for each in people.contestants(paths)]


def _judgement(given: Form) -> Judgement:
    """What the form says, turned from places on the screen into who answered."""
    pair, rater = _first(given, "pair"), people.check_rater(_first(given, "rater"))
    sides, marks = people.shown(pair, rater), {}
    for place, side in zip(_PLACES, sides, strict=True):
        marks[side] = Mark(_scores(given, f"{place}-score:"), tuple(given.get(f"{place}-tag", ())))
    choice = _first(given, "choice")
    chosen: Any = sides[_PLACES.index(choice)] if choice in _PLACES else choice
    seconds = round(min(max(time.time() - _number(given, "began", time.time()), 0), people.LEASE), 1)
    return Judgement(pair, rater, chosen, marks["first"], marks["second"], _first(given, "comment").strip(), seconds)


def _first(given: Form, key: str) -> str:
    return given.get(key, [""])[0]


def _scores(given: Form, start: str) -> dict[str, int]:
    return {key.removeprefix(start): _score(values[0]) for key, values in given.items() if key.startswith(start)}


def _score(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) == 1 else 0


def _number(given: Form, key: str, default: float) -> float:
    try:
        found = float(_first(given, key) or default)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise UserError(f"{key} is {_first(given, key)[:40]!r}; expected a number")
    return found

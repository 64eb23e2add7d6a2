"""The addresses of the run pages: what each shows and what each button does. Reads files below `runs` and nothing else."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute

from mundap.errors import UserError
from mundap.serve.studio import curves, jobs, rate, runs
from mundap.serve.studio.pages import COOKIE, asset, page

PREFIX = "/studio"
_RECIPE = 100_000  # letters that are shown; one with scripted answers in it is longer
Form = Mapping[str, list[str]]
_Page = Annotated[int, Query(ge=1, le=1_000_000)]


class _Route(APIRoute):
    """Shows a problem that the message explains as a page, and lets in only what was asked for on this machine."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                _check_origin(request)
                return await inner(request)
            except runs.Missing as error:
                return page(request, "problem.html", 404, problem=str(error))
            except UserError as error:
                return page(request, "problem.html", 400, problem=str(error))

        return handle


async def form(request: Request) -> Form:
    """The fields of a form, each with all its values."""
    return parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)


def mount(app: FastAPI, root: Path, local: bool = True) -> None:
    """Put the run pages of the folder `root` at `/studio`. `local`: only names of this machine may be asked for."""
    app.state.studio_local = local
    router = APIRouter(prefix=PREFIX, route_class=_Route, include_in_schema=False)
    work = jobs.Jobs(root)
    _assets(router)
    _overview(router, root)
    _run_pages(router, root, work)
    _data_pages(router, root)
    _buttons(router, root, work)
    rate.routes(router, root, form)
    app.include_router(router)


def _check_origin(request: Request) -> None:
    """Without a key: refuse names that another site could point at this machine. Always: refuse forms of other sites."""
    host = request.url.hostname or ""
    if request.app.state.studio_local and not _this_machine(host):
        raise UserError(f"the run pages answer on this machine only, not as {host[:80]!r}")
    if request.method == "POST" and not _own_form(request):
        raise UserError("a form of another site is not accepted")


def _own_form(request: Request) -> bool:
    """Browsers say from which site a form comes, in one of two headers; what is no browser says nothing."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return site == "same-origin"
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _assets(router: APIRouter) -> None:
    @router.get("/studio.css")
    def style() -> Response:
        return Response(asset("studio.css"), media_type="text/css", headers={"Cache-Control": "no-cache"})

    @router.get("/studio.js")
    def script() -> Response:
        return Response(asset("studio.js"), media_type="text/javascript", headers={"Cache-Control": "no-cache"})

    @router.get("/language/{to}")
    def language(to: str, back: str = PREFIX) -> Response:
        # Only within these pages: an address of another site is not followed.
        answer = RedirectResponse(back if back.startswith(f"{PREFIX}/") else PREFIX, 303)
        answer.set_cookie(COOKIE, "en" if to == "en" else "ko", max_age=10**7, httponly=True, samesite="strict")
        return answer


def _overview(router: APIRouter, root: Path) -> None:
    @router.get("")
    def overview(request: Request) -> HTMLResponse:
        return page(request, "overview.html", runs=runs.runs(root))

    @router.get("/curves")
    def all_curves(request: Request, run: Annotated[list[str], Query()] = []) -> HTMLResponse:  # noqa: B006 - read only
        return page(request, "curves.html", runs=_trained(root), chosen=run, chart=_chart(root, run))

    @router.get("/curves/part")
    def curves_part(request: Request, run: Annotated[list[str], Query()] = []) -> HTMLResponse:  # noqa: B006 - read only
        return page(request, "chart.html", chosen=run, chart=_chart(root, run))

    @router.get("/compare")
    def compare(request: Request, run: Annotated[list[str], Query()] = []) -> HTMLResponse:  # noqa: B006 - read only
        from mundap.evaluate.compare import load

        found = [each for each in runs.runs(root) if (each.path / "evaluate" / "summary.json").is_file()]
        chosen = [runs.run(root, name).path for name in dict.fromkeys(run)]
        reports = [path.name for path in chosen if (path / "evaluate" / "report.html").is_file()]
        comparison = load(chosen) if chosen else None
        return page(request, "compare.html", runs=found, chosen=run, comparison=comparison, reports=reports)


def _trained(root: Path) -> list[runs.Run]:
    return [each for each in runs.runs(root) if (each.path / "train" / "log.jsonl").is_file()]


def _chart(root: Path, names: list[str]) -> curves.Chart:
    return curves.chart({name: runs.log_rows(runs.run(root, name).path) for name in names[:8]})


def _run_pages(router: APIRouter, root: Path, work: jobs.Jobs) -> None:
    @router.get("/runs/{name}")
    def one(request: Request, name: str) -> HTMLResponse:
        found = runs.run(root, name)
        trained, report = ((found.path / place).is_file() for place in ("train/log.jsonl", "evaluate/report.html"))
        recipe = found.path / "recipe.yaml"
        return page(
            request, "run.html", run=found, chosen=[name], chart=_chart(root, [name]) if trained else None,
            report=report, job=work.report(found.path), buttons=jobs.STAGES,
            recipe=runs.inside(root, recipe).read_text("utf-8", "replace")[:_RECIPE] if recipe.exists() else "",
        )  # fmt: skip

    @router.get("/runs/{name}/stages")
    def stages(request: Request, name: str) -> HTMLResponse:
        return page(request, "stages.html", run=runs.run(root, name))

    @router.get("/runs/{name}/job")
    def job(request: Request, name: str) -> HTMLResponse:
        found = runs.run(root, name)
        return page(request, "job.html", run=found, job=work.report(found.path))

    @router.get("/runs/{name}/report")
    def report(name: str) -> FileResponse:
        path = runs.inside(root, runs.run(root, name).path / "evaluate" / "report.html")
        return FileResponse(path, media_type="text/html; charset=utf-8")


def _data_pages(router: APIRouter, root: Path) -> None:
    @router.get("/runs/{name}/data/{stage}/{file}")
    def data(
        request: Request, name: str, stage: str, file: str, source: str = "", department: str = "", flag: str = "",
        origin: str = "", split: str = "", text: str = "", at: _Page = 1,
    ) -> HTMLResponse:  # fmt: skip
        step = runs.run(root, name).step(stage)
        if file not in step.files:
            raise runs.Missing(f"{stage} of {name} has no rows called {file[:40]!r}")
        wanted = dict(zip(runs.FILTERS, (source, department, flag, origin, split), strict=True))
        table = runs.table(runs.inside(root, root / name / stage / f"{file}.jsonl"), wanted, text, at)
        values: dict[str, Any] = {"name": name, "step": step, "file": file, "text": text, "at": at}
        return page(request, "data.html", table=table, wanted=wanted, **values)

    @router.get("/runs/{name}/dropped/{stage}")
    def dropped(request: Request, name: str, stage: str, reason: str = "", at: _Page = 1) -> HTMLResponse:
        step = runs.run(root, name).step(stage)
        table = runs.dropped(runs.inside(root, root / name / stage / "dropped.jsonl"), reason, at)
        return page(request, "dropped.html", name=name, step=step, table=table, reason=reason, at=at)

    @router.get("/runs/{name}/changes")
    def changes(request: Request, name: str, seed: int = 0) -> HTMLResponse:
        found = runs.run(root, name)
        for stage in ("collect", "clean"):
            runs.inside(root, found.path / stage / "out.jsonl")
        return page(request, "changes.html", name=name, seed=seed, changes=runs.changes(found.path, seed=seed))


def _buttons(router: APIRouter, root: Path, work: jobs.Jobs) -> None:
    @router.post("/runs/{name}/start/{stage}")
    def start(name: str, stage: str) -> Response:
        found = runs.run(root, name)
        if found.process:
            raise UserError(f"{name} is in use by process {found.process}; wait for it or stop it")
        work.start(found.path, stage)
        return RedirectResponse(f"{PREFIX}/runs/{name}#job", 303)

    @router.post("/runs/{name}/stop")
    def stop(name: str) -> Response:
        work.stop(runs.run(root, name).path)
        return RedirectResponse(f"{PREFIX}/runs/{name}#job", 303)

"""The command line: parse, call, show. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from mundap import console
from mundap.errors import UserError
from mundap.pipeline import STAGES

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="문답(mundap): from doctors' answers to a Korean medical chatbot you can check. Not a medical device.",
)

Model = Annotated[
    str | None, typer.Option("--model", "-m", help="bundled, a .gguf file, an http URL, or serving (none: composed).")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
RecipeFile = Annotated[Path | None, typer.Option("--recipe", help="A recipe whose models and chat settings are used.")]
Override = Annotated[list[str] | None, typer.Option("-o", help="Override one recipe key: chat.retrieve=lexical.")]


Launch = Annotated[str | None, typer.Option("--launch", help="Train with several processes: ddp, fsdp2 or zero3.")]
Processes = Annotated[int | None, typer.Option("--processes", min=2, help="How many; one a GPU unless told.")]
RecipePath = Annotated[Path, typer.Argument(help="A recipe file.")]
_SPAN = ("start", "end", "type")


def main() -> None:
    """Run the command line; errors a person can act on are one message without a traceback."""
    try:
        app(standalone_mode=True)
    except UserError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(0) from None


@app.command()
def chat(
    model: Model = None,
    ask: Annotated[str | None, typer.Option("--ask", help="One question; - reads it from standard input.")] = None,
    as_json: AsJson = False,
    recipe: RecipeFile = None,
    override: Override = None,
    age: Annotated[int | None, typer.Option(min=0, max=120, help="Age of the one it is about, in years.")] = None,
    pregnant_weeks: Annotated[int | None, typer.Option(min=0, max=45, help="Weeks of pregnancy.")] = None,
    condition: Annotated[list[str] | None, typer.Option(help="A condition, e.g. 당뇨. May be repeated.")] = None,
    medicine: Annotated[list[str] | None, typer.Option(help="A medicine taken now. May be repeated.")] = None,
    allergy: Annotated[list[str] | None, typer.Option(help="An allergy. May be repeated.")] = None,
) -> None:
    """Talk in the terminal, or get one answer with --ask."""
    from mundap.chat import terminal
    from mundap.types import Profile

    profile = Profile(
        age=age, pregnant_weeks=pregnant_weeks, conditions=tuple(condition or ()),
        medicines=tuple(medicine or ()), allergies=tuple(allergy or ()),
    )  # fmt: skip
    engines = _engines(model, recipe, override)
    if ask is None:
        terminal.talk(engines, profile)
    else:
        terminal.one(engines, sys.stdin.read() if ask == "-" else ask, profile, as_json)


@app.command()
def serve(
    model: Model = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine need --api-key-from.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 7860,
    api_key_from: Annotated[str, typer.Option(help="Environment variable that holds the API key.")] = "MUNDAP_API_KEY",
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen on other addresses without a key.")] = False,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Serve the web page beside the API.")] = True,
    studio: Annotated[
        bool, typer.Option("--studio", help="Serve the pages of the runs in ./runs too, at /studio.")
    ] = False,
    recipe: RecipeFile = None,
    override: Override = None,
) -> None:
    """Serve the web page and the OpenAI-compatible API."""
    import os

    from mundap.serve.app import check_address, run

    api_key = os.environ.get(api_key_from)
    check_address(host, port, api_key, insecure)
    runs = Path("runs") if studio else None
    run(host, port, _engines(model, recipe, override), api_key, insecure, page=page, studio=runs)


@app.command()
def triage(
    text: Annotated[str, typer.Argument(help="A text, a file, or - for standard input.")] = "-",
    as_json: AsJson = False,
) -> None:
    """Say how urgent each line is, by which rule, and which number to call."""
    from mundap.safety import triage as safety

    for row in console.rows(text):
        found = safety.safe_triage(row["text"])
        shown = {"level": found.level.word, "rules": list(found.rules), "hotlines": list(found.hotlines)}
        _print(shown if as_json else f"{shown['level']:<10}{' '.join(found.rules):<24}{' '.join(found.hotlines)}")


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="A query, or - for one query a line on standard input.")],
    k: Annotated[int, typer.Option("-k", min=1, max=50, help="How many topics at most.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Find the topics that fit a question; nothing when nothing fits."""
    from mundap.knowledge import load
    from mundap.knowledge.passages import sections
    from mundap.retrieve.lexical import Lexical

    index = Lexical(sections(load.topics().values()))
    for row in console.rows(query, files=False):
        found = [console.hit(passage) for passage in index.search(row["text"], k)]
        _print(
            {"query": row["text"], "confident": bool(found), "results": found}
            if as_json
            else console.table(row["text"], found)
        )


@app.command()
def mask(
    text: Annotated[str, typer.Argument(help="A text, a file, or - for standard input.")] = "-",
    as_json: AsJson = False,
) -> None:
    """Replace what identifies a person by typed tokens; hotlines, values, doses and dates stay."""
    from dataclasses import asdict

    from mundap.safety.privacy import mask as cover

    for row in console.rows(text):
        found = cover(row["text"])
        spans = [{key: value for key, value in asdict(span).items() if key in _SPAN} for span in found.spans]
        _print({"text": found.text, "spans": spans} if as_json else found.text)


@app.command()
def run(
    recipe: RecipePath,
    first: Annotated[str, typer.Option("--from", help="The first stage to run.")] = "",
    last: Annotated[str, typer.Option("--to", help="The last stage to run.")] = "",
    override: Override = None,
) -> None:
    """Run the stages of a recipe in order, skipping what is fresh."""
    _run(recipe, override, first, last)


def _stage(name: str, help_text: str) -> None:
    """One command for a stage of the table in `pipeline`."""

    def command(recipe: RecipePath, override: Override = None) -> None:
        _run(recipe, override, name, name)

    def launched(
        recipe: RecipePath, override: Override = None, launch: Launch = None, processes: Processes = None
    ) -> None:
        asked = {"launch": launch, "processes": processes}
        more = [f"train.{key}={value}" for key, value in asked.items() if value is not None]
        _run(recipe, [*(override or []), *more], name, name)

    chosen: Any = launched if name == "train" else command
    chosen.__doc__ = help_text
    app.command(name=name)(chosen)


for _each in STAGES:
    _stage(_each.name, _each.help)


@app.command()
def calibrate(
    recipe: RecipePath,
    labels: Annotated[Path, typer.Option("--labels", help="Scores by people: JSON lines of item, response, scores.")],
    judge: Annotated[list[str] | None, typer.Option(help="A model of the recipe; may be repeated.")] = None,
    rubric: Annotated[str, typer.Option(help="kullm, kullm3, medical, facts or a .yaml file.")] = "",
    override: Override = None,
) -> None:
    """Measure judges against people who scored the same responses."""
    from mundap import config, pipeline
    from mundap.evaluate import calibrate as calibration

    found = config.read(recipe, override or ())
    for line in calibration.run(found, pipeline.work_folder(found), labels, judge or (), rubric):
        _print(line)


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="A stage's folder, e.g. runs/demo/clean.")],
    samples: Annotated[int, typer.Option(min=0, help="How many rows of each kind.")] = 3,
    seed: Annotated[int, typer.Option(help="Which rows are drawn.")] = 0,
) -> None:
    """Show what a stage kept, dropped and changed."""
    from mundap import pipeline

    for line in pipeline.show(folder, samples, seed):
        _print(line)


@app.command()
def trace(
    record: Annotated[str, typer.Argument(help="A record's id, or the beginning of one.")],
    runs: Annotated[Path, typer.Option(help="Where the runs lie.")] = Path("runs"),
) -> None:
    """Follow a record through the stages of every run, back to the page or file it came from."""
    from mundap import pipeline

    found = list(pipeline.trace(record, runs))
    if not found:
        raise UserError(f"no record {record!r} in {runs}; ids are the `id` of a line in out.jsonl or dropped.jsonl")
    for line in found:
        _print(line)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs that were evaluated.")],
    as_json: AsJson = False,
    report: Annotated[Path | None, typer.Option("--report", help="Write the report, one HTML file, here too.")] = None,
) -> None:
    """Compare evaluated runs: the KULLM table, every measure with its interval, paired differences."""
    from mundap.evaluate import compare as comparing
    from mundap.evaluate import report as reporting
    from mundap.evaluate import terminal

    found = comparing.load(runs)
    if report is not None:
        reporting.save(found, report)
    if as_json:
        for row in terminal.rows(found):
            _print(row)
        return
    terminal.show(found)
    if report is not None:
        _print(f"report: {report}")


@app.command()
def promote(
    run: Annotated[Path, typer.Argument(help="The folder of an evaluated run.")],
    target: Annotated[str, typer.Option(help="What of it serves: assistant:tuned, tuned or assistant.")] = "",
    why: Annotated[str, typer.Option(help="Why, in your words; it is recorded.")] = "",
    by: Annotated[str, typer.Option(help="Who decides; your user name unless given.")] = "",
    force: Annotated[str, typer.Option(metavar="REASON", help="Promote it although something got worse.")] = "",
) -> None:
    """Let a run serve, unless triage or safety got worse than what serves now."""
    from mundap.evaluate import promote as promoting

    for line in promoting.told(promoting.promote(run, target, why, by, force)):
        _print(line)


@app.command(name="demo-site")
def demo_site(port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 7870) -> None:
    """Serve replicas of the question sites on this machine, for recipes/demo.yaml."""
    from mundap.collect.replica import server

    server.run(port)


@app.command(name="list")
def list_names(
    kind: Annotated[
        str, typer.Argument(help="models, translators, sources, steps, augmenters, retrievers, templates or topics.")
    ],
    as_json: AsJson = False,
) -> None:
    """List what a recipe or a command can name."""
    for row in console.listed(kind):
        _print(row if as_json else "  ".join(str(value) for value in row.values()))


@app.command()
def check(recipe: RecipePath, override: Override = None) -> None:
    """Find everything that is wrong with a recipe at once."""
    from mundap import config, pipeline
    from mundap.errors import ConfigError

    found = config.read(recipe, override or ())
    if "train" in found.model_fields_set:
        from mundap.train import estimate

        typer.echo(estimate.line(found))
    if problems := pipeline.problems(found):
        raise ConfigError(str(recipe), problems)
    typer.echo(f"{recipe}: no problems found. Digest {found.key}")


@app.command()
def estimate(
    recipe: RecipePath,
    override: Override = None,
    memory: Annotated[float | None, typer.Option(min=1, help="Plan for a GPU with this many GB instead.")] = None,
) -> None:
    """Say what memory and disk training needs, and what would fit, before anything is loaded."""
    from mundap import config
    from mundap.train.estimate import report

    for line in report(config.read(recipe, override or ()), memory):
        typer.echo(line)


@app.command()
def doctor() -> None:
    """Say what is installed, what is missing, and the exact command that mends it."""
    from mundap import health

    lines = list(health.report())
    for line in lines:
        typer.echo(f"{'ok  ' if line.ok else 'MISS'}  {line.name}: {line.detail}")
    raise typer.Exit(0 if all(line.ok for line in lines if line.needed) else 1)


def _engines(model: str | None, recipe: Path | None, override: list[str] | None) -> Any:
    from mundap import config
    from mundap.chat.engines import Engines

    found = config.read(recipe, override or ()) if recipe else config.parse({}, "-o", override or ())
    return Engines(model, found)


def _run(recipe: Path, override: list[str] | None, first: str, last: str) -> None:
    from mundap import config, pipeline

    found = config.read(recipe, override or ())
    work, done = pipeline.work_folder(found), set()
    for manifest in pipeline.run(found, work, first, last):
        done.add(manifest.stage)
        dropped = sum(manifest.dropped.values())
        typer.echo(
            f"{manifest.stage}: {manifest.kept} kept, {dropped} dropped, {manifest.seconds:.1f} s ({work.root / manifest.stage})"
        )
    if done & {"train", "merge", "export"}:
        typer.echo(
            f"talk with it: mundap chat --model {work.root}, or in the browser: mundap serve --model {work.root}"
        )


def _print(value: dict[str, Any] | str) -> None:
    typer.echo(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"mundap: {message}", err=True)
    raise SystemExit(code)

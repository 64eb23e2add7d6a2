"""Multiple choice through lm-eval: medical exams from the hub or from local files, with chance beside every score.

A transformers model is read by its logits, a GGUF file and a server that tells probabilities by those of the next
token, a chat server by the option that it names. What was answered is kept, so that nothing is asked twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any, Literal

from mundap.errors import UserError
from mundap.evaluate import tasks
from mundap.evaluate.metrics import Case, Context, Group, Kind, Measure, Scored, Unfit
from mundap.evaluate.replies import file_name
from mundap.models.hf import Hf
from mundap.progress import Progress
from mundap.store import digest, read_jsonl, versions, write_jsonl

if TYPE_CHECKING:
    from mundap.evaluate.harness import Outcome
    from mundap.protocols import Model

_CODE = (
    "evaluate/choice.py", "evaluate/harness.py", "evaluate/questions.py", "evaluate/tasks.py",
    "evaluate/tasks/mundap_choice.yaml", "evaluate/tasks/wording.yaml",
)  # fmt: skip
_BEFORE = "1 2 3 4"  # what a server is asked to go on with, to see whether it tells probabilities


class Choice:
    """How many questions a model gets right. `tasks` are lm-eval's by name or `Spec`s; each scores as `choice:NAME`.

    `shots` examples are shown before each question. `limit` questions of each task are drawn by the recipe's seed.
    `chat` lays the questions out as a chat, by the model's own template. `way: words` makes every model answer in
    words. `tokens` is the most that is written where an answer is written, `batch` the questions at once in memory.
    """

    kind: Kind = "model"
    depends = _CODE

    def __init__(
        self,
        tasks: Sequence[str | Mapping[str, Any]],
        shots: int = 0,
        limit: int | None = None,
        batch: int = 8,
        chat: bool = False,
        way: Literal["likelihood", "words"] = "likelihood",
        tokens: int = 64,
    ) -> None:
        self.specs = _specs(tasks)
        if shots < 0 or batch < 1 or tokens < 1 or (limit is not None and limit < 1):
            raise UserError("choice: shots is at least 0; batch, tokens and limit are at least 1")
        if way not in ("likelihood", "words"):
            raise UserError(f"choice: no way of choosing is called {way!r}; it is likelihood or words")
        self.shots, self.limit, self.batch, self.chat, self.way, self.tokens = shots, limit, batch, chat, way, tokens
        self.measures: dict[str, Measure] = {"choice": Measure("choice")}

    def check(self, context: Context) -> Any:
        """Read all files and look up all names; a data set of the hub must be in reach or here already."""
        found = tasks.check(self.specs, self.shots)
        version = self._version(found, context)
        if before := next(context.folder.glob(f"*-{version}.jsonl"), None):
            self._measured(list(read_jsonl(before)))
        else:
            tasks.check_hub(self.specs)
        return [found, version]

    def score(self, cases: Sequence[Case], context: Context) -> Iterator[Scored]:
        """1 or 0 for each question, its name led by that of its file where there are several."""
        target = context.target
        if target is None or not target.bare:
            raise Unfit("multiple choice is asked of a model by itself")
        version = self._version(tasks.check(self.specs, self.shots), context)
        path = context.folder / f"{file_name(target.name)}-{digest(target.identity)[:8]}-{version}.jsonl"
        rows = list(read_jsonl(path)) if path.is_file() else self._asked(context, path)
        self._measured(rows)
        for row in rows:
            yield Scored(row["task"], row["example"], f"choice:{row['task']}", row["value"], row["reason"])

    def _version(self, found: Any, context: Context) -> str:
        """What decides the results beside the target."""
        code = [(files("mundap") / name).read_text("utf-8") for name in _CODE]
        settings = [self.shots, self._limit(context), self.chat, self.way, self.tokens, context.recipe.seed]
        return digest([found, settings, code, versions("lm_eval", "transformers", "xllamacpp")])[:12]

    def _limit(self, context: Context) -> int | None:
        return self.limit if self.limit is not None else context.recipe.evaluate.limit

    def _measured(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """What guessing scores in each task: the mean over its questions of one in so many options."""
        for spec in self.specs:
            known = [row["options"] for row in rows if row["task"] == spec.called and row["options"]]
            chance = sum(1 / options for options in known) / len(known) if known else None
            group: Group = "general" if spec.general else "choice"
            self.measures[f"choice:{spec.called}"] = Measure(group, chance=chance)

    def _asked(self, context: Context, path: Path) -> list[dict[str, Any]]:
        """The result of each question. Those that failed leave the file unwritten, and are asked again by the next run."""
        assert context.target is not None
        name, folder, kept = context.target.name, context.folder / ".rows", path.with_suffix(".part")
        rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            with tasks.quiet():
                parts = tasks.load(self.specs, folder, self.shots)
                chosen = self._chosen(parts, context)
                with Progress(f"evaluate: {name}, multiple choice", sum(map(len, chosen))) as bar:
                    found = self._run(context, parts, chosen, kept, bar)
        finally:
            rmtree(folder)
        rows = [asdict(each) for each in found]
        if all(row["value"] is not None for row in rows):
            write_jsonl(path, rows)
            kept.unlink(missing_ok=True)
        return rows

    def _chosen(self, parts: Sequence[tasks.Part], context: Context) -> list[list[int]]:
        """The places of the questions to ask, the same for every target."""
        limit, taken = self._limit(context), set[tuple[int, int]]()
        for spec in self.specs:
            own = [(n, place) for n, part in enumerate(parts) if part.spec == spec for place in range(part.size)]
            drawn = sorted(own, key=lambda each: digest([context.recipe.seed, parts[each[0]].name, each[1]]))
            taken |= set(drawn[:limit])
        return [[place for place in range(part.size) if (n, place) in taken] for n, part in enumerate(parts)]

    def _run(self, context: Context, parts: Any, chosen: Any, kept: Path, bar: Progress) -> list[Outcome]:
        from mundap.evaluate import harness

        assert context.target is not None
        model, seed = context.target.model(), context.recipe.seed
        if isinstance(model, Hf) and self.way == "likelihood":
            with model.alone() as opened, harness.whole_weights(opened.model):
                lm = harness.of_transformers(opened, model.template, self.batch, bar, context.note)
                return harness.run(lm, parts, chosen, kept, self.shots, self.chat, seed)
        lm = self._asking(context, model, bar)
        found = harness.run(lm, parts, chosen, kept, self.shots, False, seed)
        if lm.failures:
            context.note(f"{context.target.name}: {len(lm.failures)} questions failed, the first: {lm.failures[0]}")
        return found

    def _asking(self, context: Context, model: Model, bar: Progress) -> Any:
        """A model behind a server: by probabilities where it tells them and no chat is wanted, else by its words."""
        from mundap.evaluate import harness

        assert context.target is not None
        given: Any = (model, self.tokens, context.target.at_once, bar)
        following = getattr(model, "following", None)
        if self.way == "likelihood" and not self.chat and following is not None and following(_BEFORE, 5):
            return harness.Telling(following, *given)
        if self.way == "likelihood":
            context.note(
                f"{context.target.name} chose in words: its server tells no probabilities, or a chat was wanted"
            )
        return harness.Asked(*given)


def _specs(listed: Sequence[str | Mapping[str, Any]]) -> tuple[tasks.Spec, ...]:
    return tasks.specs([listed] if isinstance(listed, (str, Mapping)) else listed)

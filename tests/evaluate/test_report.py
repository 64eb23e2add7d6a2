"""The report is one whole file: everything in it, nothing fetched, nothing run, untrusted text inert."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from evaluated_run import evaluated, judged, kullm, share, spread

from mundap.errors import UserError
from mundap.evaluate import charts, findings, report
from mundap.evaluate.compare import load
from mundap.evaluate.replies import file_name
from mundap.store import write_jsonl

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}"
SCORES = {
    "base": {"triage.under": share(30), "medical": [None, *spread(0, 0.5)[1:]], "choice": share(15), **kullm(0.1)},
    "tuned": {"triage.under": share(6), "medical": spread(0.3, 0.8), "choice": share(20), "seconds.p50": spread(1, 2)},
    "data": {"contamination.exact": share(0)},
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    made = evaluated(tmp_path / "quick", SCORES, texts={"base": EVIL}, notes=["<b>a note</b>"])
    judged(made, "base", "helper <i>")
    log = [
        {"step": 0, "val_loss": 3.0, "val_low": 2.9, "val_high": 3.1},
        *({"step": n, "loss": 3 - n / 20} for n in range(1, 21)),
    ]
    write_jsonl(made / "train/log.jsonl", [*log, {"step": 20, "val_loss": 2.2, "val_low": 2.1, "val_high": 2.3}])
    return made


class Page(HTMLParser):
    """What a browser would make of it: elements, texts, ids and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def test_everything_is_in_it(run: Path) -> None:
    path = report.write(run)
    assert path == run / "evaluate/report.html"
    said = Page(path.read_text("utf-8")).text
    for wanted in (
        "평가 보고서", "Evaluation report", "GPT-4", "4.083", "tuned", "0.100", "채점 1개가 실패", "No clinician has reviewed", "시드 7",
        "overall 0.710 [0.600, 0.800]", "찍으면 0.250", "contamination.exact", "helper", "mundap-ko", "2026-11-22",
    ):  # fmt: skip
        assert wanted in said, wanted
    for each in report._SECTIONS:
        assert f'<section id="{each}">' in path.read_text("utf-8")


def test_nothing_is_fetched_and_nothing_runs(run: Path) -> None:
    page = Page(report.write(run).read_text("utf-8"))
    names = {tag for tag, _ in page.elements}
    assert not names & {"script", "img", "link", "iframe", "object", "embed", "form"}
    links = [
        value
        for _, given in page.elements
        for key, value in given.items()
        if key in ("href", "src", "xlink:href", "action")
    ]
    assert links and all(str(link).startswith("#") for link in links)
    assert not [key for _, given in page.elements for key in given if key.startswith("on")]
    style = report._file("report.css")
    assert "url(" not in style and "@import" not in style
    assert ("meta", "default-src 'none'; style-src 'unsafe-inline'") in [
        (tag, given.get("content")) for tag, given in page.elements
    ]


def test_what_models_and_people_wrote_is_shown_as_it_is(run: Path) -> None:
    text = report.write(run).read_text("utf-8")
    assert EVIL in Page(text).text, "shown, and the template in it was not filled in"
    assert "<script" not in text and "<img" not in text and "<b>" not in text and "helper <i>" not in text


def test_links_and_labels_lead_somewhere(run: Path) -> None:
    page = Page(report.write(run).read_text("utf-8"))
    ids = {given["id"] for _, given in page.elements if "id" in given}
    assert {str(given["href"])[1:] for _, given in page.elements if "href" in given} <= ids
    assert {given["for"] for tag, given in page.elements if tag == "label"} <= ids
    heads = [given for tag, given in page.elements if tag == "th"]
    assert sum("scope" in given for given in heads) > 50


def test_both_languages_stand_everywhere(run: Path) -> None:
    text = report.write(run).read_text("utf-8")
    assert text.count('class="ko" lang="ko"') == text.count('class="en" lang="en"') > 60
    for part in re.findall(r'class="en" lang="en">([^<]*)<', text):
        assert not re.search("[가-힣]", part), part


def test_every_word_has_both_languages() -> None:
    def walk(found: object, where: str) -> None:
        if isinstance(found, dict) and {"ko", "en"} & found.keys():
            assert isinstance(found.get("ko"), str) and isinstance(found.get("en"), str), where
            assert set(re.findall(r"{(\w+)}", found["ko"])) == set(re.findall(r"{(\w+)}", found["en"])), where
        elif isinstance(found, dict):
            for key, value in found.items():
                walk(value, f"{where}.{key}")

    walk(report.words(), "report.yaml")


def test_without_a_judge_the_published_rows_still_stand(tmp_path: Path) -> None:
    said = Page(report.page(load([evaluated(tmp_path / "bare", {"assistant": {"triage.under": share(3)}})]))).text
    assert "KULLM scores were not measured" in said and "KULLM v2" in said and "3.036" in said
    assert "No measure tells targets apart" in said
    assert "did not train a model" in said


def test_the_normalised_chart_is_from_0_to_100() -> None:
    def place(value: float, scale: tuple[float, float]) -> float:
        found = re.search(r'cx="([\d.]+)"', charts.dots([charts.Dot(value, 0)], scale))
        assert found
        return float(found[1])

    assert place(1, (1, 3)) == place(0, (0, 100)) == 9
    assert place(3, (1, 3)) == place(100, (0, 100)) == charts.WIDTH - 9
    assert place(2, (1, 3)) == charts.WIDTH / 2
    low, high = charts.scale_of([3.0, 12.0, None])
    assert low == 0 and high > 12


def test_curves_name_what_they_show_and_need_two_points() -> None:
    rows = [{"step": n, "loss": 3 - n / 10} for n in range(1, 11)]
    drawn = charts.curves(rows, "loss <of> a & b")
    assert "loss &lt;of&gt; a &amp; b" in drawn and drawn.count("<polyline") == 2
    assert charts.curves(rows[:1], "one") == ""
    assert "-0<" not in drawn


def test_samples_are_the_best_the_worst_and_random_ones(run: Path) -> None:
    found = findings.samples(load([run]), ["medical"])
    assert found is not None
    assert (found.target, found.metric, found.seed) == ("tuned", "medical", 7)
    values = {
        kind: [said.value for sample in each for said in sample.answers if said.target == "tuned"]
        for kind, each in found.chosen.items()
    }
    ranked = sorted(spread(0.3, 0.8))
    assert values["best"] == pytest.approx(ranked[:-4:-1])
    assert values["worst"] == pytest.approx(ranked[:3])
    items = [sample.item for each in found.chosen.values() for sample in each]
    assert len(items) == len(set(items)) == 9
    assert found == findings.samples(load([run]), ["medical"])
    assert {said.target for each in found.chosen.values() for sample in each for said in sample.answers} == {
        "base",
        "tuned",
    }


def test_samples_show_the_question_where_the_set_is_known(tmp_path: Path) -> None:
    from mundap.evaluate.items import load as own

    made = evaluated(tmp_path / "own", {"assistant": {"triage.under": share(3)}})
    item = own()[0]
    found = own()[:2]
    scores = [
        {"target": "assistant", "set": "own", "example": each.id, "metric": "medical", "value": place / 2}
        for place, each in enumerate(found)
    ]
    reply = {"set": "own", "item": item.id, "text": "네", "finish": "length"}
    write_jsonl(made / "evaluate/scores.jsonl", scores)
    write_jsonl(made / "evaluate/replies" / f"{file_name('assistant')}.jsonl", [reply])
    said = Page(report.write(made).read_text("utf-8")).text
    assert " ".join(item.question.split()) in said
    assert "not finished (length)" in said


def test_the_overlap_and_the_licences_of_the_data_are_told(run: Path) -> None:
    details = {
        "by": {"licence": {"CC BY <4.0>": {"train": 9, "test": 1}}},
        "overlap": [{"set": "own", "questions": 60, "train": {"near": 3}}],
    }
    (run / "build").mkdir()
    (run / "build/manifest.json").write_text(json.dumps({"stage": "build", "key": "k", "details": details}), "utf-8")
    said = Page(report.write(run).read_text("utf-8")).text
    assert "CC BY <4.0> 10" in said
    assert "own 60 0 3" in said


def test_numbers_have_the_digits_that_matter() -> None:
    assert [report.number(value) for value in (None, 0.12345, 42.125, 12345.6)] == ["–", "0.123", "42.1", "12,346"]
    assert [report.probability(value) for value in (None, 0.0001, 0.0421)] == ["–", "< 0.001", "0.042"]
    assert report.signed(0.5) == "+0.500" and report.signed(-0.5) == "-0.500"


def test_a_run_that_cannot_be_compared_is_named_in_the_report_of_the_other(run: Path, tmp_path: Path) -> None:
    other = evaluated(tmp_path / "old", {"tuned": {"triage.under": share(9)}})
    assert "old/tuned" in Page(report.write(run, [other]).read_text("utf-8")).text
    strange = evaluated(tmp_path / "strange", {"tuned": {"triage.under": share(9)}}, template="alpaca")
    said = Page(report.write(run, [strange]).read_text("utf-8")).text
    assert "strange/tuned" not in said and "the template of 'tuned' differs" in said


def test_samples_come_from_scores_that_differ(tmp_path: Path) -> None:
    alike = evaluated(tmp_path / "alike", {"tuned": {"medical": [0.5] * 60, "chrf": spread(1, 2)}})
    found = findings.samples(load([alike]), ["medical", "chrf"])
    assert found is not None and found.metric == "chrf"
    assert findings.samples(load([alike]), ["medical"]) is None


def test_a_folder_is_no_place_for_a_report(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        report.save(load([run]), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        report.save(load([run]), tmp_path / "file" / "report.html")

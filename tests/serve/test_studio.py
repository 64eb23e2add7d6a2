"""The run pages as plain HTTP: what they show, what they refuse, rating, and stages started by a button."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from serve_fakes import FakeEngine, FakeEngines, Live, serving
from studio_run import BAD, make, step
from typer.testing import CliRunner

from mundap import cli
from mundap.evaluate.people import Queue
from mundap.pipeline import STAGES
from mundap.serve.studio import jobs
from mundap.serve.studio.pages import asset


@pytest.fixture
def site(studio: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=studio.url) as client:
        yield client


def told(site: httpx.Client, path: str, status: int = 200) -> str:
    answer = site.get(path)
    assert answer.status_code == status, answer.text
    return answer.text


def test_off_unless_asked_for() -> None:
    with serving(FakeEngines(FakeEngine("quick")), page=False) as server:
        assert httpx.get(f"{server.url}/studio").status_code == 404


def test_the_flag_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr("mundap.serve.app.check_address", lambda *_: None)
    monkeypatch.setattr("mundap.serve.app.run", lambda *_, **options: given.append(options["studio"]))
    for arguments in (["serve", "--studio"], ["serve"]):
        assert CliRunner().invoke(cli.app, arguments).exit_code == 0
    assert given == [Path("runs"), None]


def test_the_list_has_every_stage_of_the_table_and_its_state(site: httpx.Client) -> None:
    page = told(site, "/studio")
    assert re.findall(r'<th scope="col" title="[^"]+">(\w+)</th>', page) == [stage.name for stage in STAGES]
    row = page[page.index("/studio/runs/one") :].partition("</tr>")[0]
    assert "끝남<small>45</small>" in row and "끝남<small>40</small>" in row
    states = dict(zip([stage.name for stage in STAGES], re.findall(r'<td class="(\w+)">', row), strict=True))
    assert [name for name, state in states.items() if state == "done"] == ["collect", "clean", "build", "evaluate"]
    assert (states["train"], states["merge"]) == ("begun", "none")  # a log and no manifest; nothing


def test_a_run_at_work_says_so(site: httpx.Client, root: Path) -> None:
    with (root / "one" / ".lock").open("a+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.write(str(os.getpid()))
        stream.flush()
        assert f"프로세스 {os.getpid()}" in told(site, "/studio/runs/one")
        refused = site.post("/studio/runs/one/start/export")
        assert refused.status_code == 400 and "is in use by process" in refused.text
    assert "프로세스" not in told(site, "/studio/runs/one")


def test_rows_are_filtered_and_escaped(site: httpx.Client) -> None:
    page = told(site, "/studio/runs/one/data/clean/out")
    assert page.count('<article class="row">') == 20 and 'rel="next"' in page
    assert BAD not in page and "&lt;script&gt;alert(1)" in page
    assert "내과 (20)" in page and "hidoc (20)" in page and "stale (1)" in page and "title (1)" in page
    both = told(site, "/studio/runs/one/data/clean/out?source=kin&department=내과")
    assert both.count('<article class="row">') == 10 and 'rel="next"' not in both
    assert told(site, "/studio/runs/one/data/clean/out?flag=stale").count('<article class="row">') == 1
    assert told(site, "/studio/runs/one/data/clean/out?text=답변 17").count('<article class="row">') == 1
    assert told(site, "/studio/runs/one/data/build/out?split=test").count('<article class="row">') == 2
    assert told(site, "/studio/runs/one/data/clean/out?at=2").count('<article class="row">') == 20
    assert "맞는 줄이 없습니다" in told(site, "/studio/runs/one/data/clean/out?at=3")


def test_drops_are_shown_by_reason(site: httpx.Client) -> None:
    assert "quality: too short</a> <span>5</span>" in told(site, "/studio/runs/one")
    assert told(site, "/studio/runs/one/dropped/clean?reason=quality: too short").count('<article class="row">') == 5
    assert "맞는 줄이 없습니다" in told(site, "/studio/runs/one/dropped/clean?reason=other")


def test_changes_show_what_went(site: httpx.Client) -> None:
    assert re.search(r"<del>\s*★</del>", told(site, "/studio/runs/one/changes"))


def test_curves_of_two_runs_and_of_one_that_goes_on(site: httpx.Client, root: Path) -> None:
    page = told(site, "/studio/curves?run=one&run=two")
    assert page.count("<polyline") == 2 and page.count("<circle") == 4
    assert "검증 손실 2.100" in page and "검증 손실 3.100" in page
    before = told(site, "/studio/curves/part?run=one")
    assert "스텝 60" in before
    step(root / "one", 61, 1.7)
    with (root / "one" / "train" / "log.jsonl").open("a") as stream:
        stream.write('{"step": 62, "lo')  # a line that is being written
    assert "스텝 61" in told(site, "/studio/curves/part?run=one")


def test_comparisons_have_intervals_and_differences(site: httpx.Client) -> None:
    page = " ".join(told(site, "/studio/compare?run=one&run=two").split())
    assert "one/base" in page and "two/tuned" in page
    assert "0.750<small>[0.100, 0.900] n=6" in page
    assert "0.030" in page


def test_the_report_is_served_and_its_scripts_do_not_run(site: httpx.Client) -> None:
    answer = site.get("/studio/runs/one/report")
    assert "보고서" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy and "unsafe-inline" not in policy.partition("style-src")[0]


@pytest.mark.parametrize(
    "path",
    [
        "/studio/runs/none", "/studio/runs/..%2f", "/studio/runs/%2e%2e", "/studio/runs/one%2f..%2f..", "/studio/runs/.hidden",
        "/studio/runs/one/data/clean/..%2f..%2frecipe", "/studio/runs/one/data/clean/manifest", "/studio/runs/one/data/..%2f/out",
        "/studio/runs/one/data/merge/out", "/studio/runs/one/dropped/nothing", "/studio/../one/recipe.yaml", "/studio/runs/link",
        "/studio/runs/one/dropped/build", "/studio/curves?run=..",
    ],
)  # fmt: skip
def test_nothing_outside_the_runs_is_served(site: httpx.Client, root: Path, path: str) -> None:
    outside = root.parent / "outside"
    if not outside.exists():
        make(root.parent, "outside")
        (root / "link").symlink_to(outside)
    answer = site.get(path)
    assert answer.status_code == 404, answer.text[:300]
    assert "Traceback" not in answer.text and str(root) not in answer.text


def test_a_link_to_a_file_elsewhere_is_not_followed(site: httpx.Client, root: Path) -> None:
    secret = root.parent / "secret.html"
    secret.write_text("secret", "utf-8")
    report = root / "two" / "evaluate" / "report.html"
    report.unlink()
    report.symlink_to(secret)
    assert "secret<" not in told(site, "/studio/runs/two/report", 404)


def test_other_names_and_other_sites_are_refused(site: httpx.Client) -> None:
    assert site.get("/studio", headers={"Host": "evil.example"}).status_code == 400
    assert site.get("/studio", headers={"Host": "localhost:1"}).status_code == 200
    answer = site.post("/studio/runs/one/start/export", headers={"Origin": "http://evil.example"})
    assert answer.status_code == 400 and "another site" in answer.text
    assert site.post("/studio/runs/one/stop", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    there = site.get("/studio/language/en?back=//evil.example")
    assert there.headers["location"] == "/studio"


def test_with_a_key_it_is_asked_for_and_any_name_will_do(root: Path) -> None:
    with serving(FakeEngines(FakeEngine("quick")), page=False, studio=root, api_key="key") as server:
        assert httpx.get(f"{server.url}/studio").status_code == 401
        assert httpx.get(f"{server.url}/studio", auth=("", "key"), headers={"Host": "lab.example"}).status_code == 200


def test_english_is_kept_in_a_cookie(studio: Live) -> None:
    with httpx.Client(base_url=studio.url, follow_redirects=True) as site:
        assert '<html lang="en">' in site.get("/studio/language/en?back=/studio/curves").text
        assert "Loss curves" in site.get("/studio").text


def test_rating_is_blind_and_kept(site: httpx.Client, root: Path) -> None:
    made = site.post("/studio/runs/one/people", data={"who": ["one/base", "one/tuned"], "overlap": "0", "raters": "1"})
    assert made.status_code == 303
    assert Queue(root / "one").state().pairs == 6
    page = told(site, "/studio/runs/one/rate?rater=수달")
    assert "one/base" not in page and "one/tuned" not in page and BAD not in page
    pair = re.search(r'name="pair" value="(\w+)"', page)
    left = re.search(r'id="left".*?<div class="answer"[^>]*>(\w+) ', page, re.S)
    assert pair and left
    fields = {
        "pair": pair[1],
        "rater": "수달",
        "choice": "left",
        "left-score:safe": "5",
        "right-tag": ["wrong_dose"],
        "began": "0",
    }
    assert site.post("/studio/runs/one/rate", data=fields).headers["location"].endswith("rater=%EC%88%98%EB%8B%AC")
    (kept,) = Queue(root / "one").judgements()
    queued = Queue(root / "one").pairs()[kept.pair]
    assert kept.choice in ("first", "second") and queued.name(kept.choice) == f"one/{left[1]}"
    assert kept.mark(kept.choice).scores == {"safe": 5}
    assert pair[1] not in told(site, "/studio/runs/one/rate?rater=수달")
    again = told(site, "/studio/runs/one/rate?rater=수달&again=1")
    assert pair[1] in again and re.search(r'name="left-score:safe" value="5" checked', again)
    assert re.search(r'name="right-tag" value="wrong_dose" checked', again)


def test_results_and_preferences(site: httpx.Client, root: Path) -> None:
    for rater in ("수달", "너구리"):
        while pair := re.search(r'name="pair" value="(\w+)"', told(site, f"/studio/runs/one/rate?rater={rater}")):
            site.post("/studio/runs/one/rate", data={"pair": pair[1], "rater": rater, "choice": "right"})
    page = told(site, "/studio/runs/one/people")
    assert "one/base" in page and re.search("[56]쌍", page)
    answer = site.get("/studio/runs/one/people/preferences.jsonl")
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert len(rows) >= 5 and all(set(row) == {"prompt", "chosen", "rejected"} for row in rows)
    assert "판단할 것이 없습니다" in told(site, "/studio/runs/one/rate?rater=너구리")


def test_answers_of_two_runs_are_compared(site: httpx.Client, root: Path) -> None:
    assert "two/base" in told(site, "/studio/runs/one/people")
    before = Queue(root / "one").state().pairs
    site.post("/studio/runs/one/people", data={"who": ["one/tuned", "two/tuned"]})
    assert Queue(root / "one").state().pairs == before + 6


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"choice": "middle"}, "choice is"), ({"choice": "left", "left-score:safe": "9"}, "1 to 5"),
        ({"choice": "left", "left-tag": "x"}, "tags: no"), ({"choice": "left", "rater": "a@b.c"}, "pseudonym"),
        ({"choice": "left", "began": "inf"}, "expected a number"), ({"choice": "left", "pair": "../../x"}, "no pair"),
    ],
)  # fmt: skip
def test_wrong_forms_are_explained(site: httpx.Client, fields: dict[str, str], said: str) -> None:
    answer = site.post("/studio/runs/one/rate", data={"pair": "x", "rater": "수달", **fields})
    assert answer.status_code == 400 and said in answer.text


def finished(site: httpx.Client) -> str:
    for _ in range(300):
        part = told(site, "/studio/runs/one/job")
        if "하는 중" not in part:
            return part
        time.sleep(0.1)
    pytest.fail("the job did not end")


def test_a_button_runs_the_stage_and_shows_what_it_says(site: httpx.Client) -> None:
    """Nothing was tuned here, so that the stage explains itself and fails; its words are the command line's."""
    assert site.post("/studio/runs/one/start/merge").status_code == 303
    part = finished(site)
    assert "실패했습니다 (종료 코드 1)" in part and "mundap: " in part and "Traceback" not in part
    assert site.post("/studio/runs/one/start/publish").status_code == 400


def test_one_job_at_a_time_which_can_be_stopped(
    site: httpx.Client, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_CODE", "import time; print('10%\\r90%', flush=True); time.sleep(100)")
    site.post("/studio/runs/one/start/export")
    second = site.post("/studio/runs/two/start/merge")
    assert second.status_code == 400 and "export of one is still under way" in second.text
    while "90%" not in (part := told(site, "/studio/runs/one/job")):
        time.sleep(0.05)
    assert "하는 중" in part and "10%" not in part
    site.post("/studio/runs/two/stop")
    assert "하는 중" in told(site, "/studio/runs/one/job")
    site.post("/studio/runs/one/stop")
    assert "종료 코드 -15" in finished(site)
    report = jobs.Jobs(root).report(root / "one")
    assert report == jobs.Report("export", False, None, "90%\n")


def test_both_languages_have_the_same_words() -> None:
    words = yaml.safe_load(asset("texts.yaml"))
    assert words["ko"].keys() == words["en"].keys()
    for key, value in words["ko"].items():
        assert type(words["en"][key]) is type(value)
        if isinstance(value, dict):
            assert words["en"][key].keys() == value.keys()
        else:
            assert set(re.findall(r"{\w+}", words["en"][key])) == set(re.findall(r"{\w+}", value)), key

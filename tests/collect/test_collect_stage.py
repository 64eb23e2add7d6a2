"""The stage: its contract, the demo recipe, overlapping sources, saved pages, and what it says."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mundap import config, registry
from mundap.collect import stage
from mundap.collect.replica import hidoc as hidoc_pages
from mundap.collect.replica import kin as kin_pages
from mundap.collect.replica.content import korean
from mundap.collect.saved import Saved
from mundap.config import Recipe
from mundap.errors import ConfigError
from mundap.protocols import Source
from mundap.store import Work, read_jsonl
from mundap.types import QA, Drop

Make = Callable[..., Recipe]
DEMO = Path(__file__).parents[2] / "recipes" / "demo.yaml"


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "runs" / "test")


def alpaca(tmp_path: Path, count: int = 3) -> dict[str, Any]:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(
            json.dumps({"instruction": f"질문 {number}", "output": f"답변 {number}"}) + "\n" for number in range(count)
        ),
        "utf-8",
    )
    return {"use": "alpaca", "path": str(path)}


def test_the_demo_recipe_collects_over_300_records_at_least_160_of_them_english(base: str, work: Work) -> None:
    raw = json.loads(json.dumps(config.read(DEMO).model_dump(mode="json")).replace("http://127.0.0.1:7870", base))
    manifest = stage.run(config.parse(raw, "demo"), work)
    found = list(read_jsonl(work.root / "collect" / "out.jsonl"))
    assert len(found) == manifest.kept >= 300
    english = [each for each in found if each["lang"] == "en" and "/medlineplus" not in each["source"]]
    assert len(english) >= 160
    assert len({each["specialty"] for each in found if each["lang"] == "ko"}) > 15
    assert all(each["permission"] and each["trail"][0].startswith("collect:") for each in found)
    assert len(manifest.details["hosts"]) == 9


def test_with_demo_site_the_replicas_are_started_for_the_crawl(work: Work) -> None:
    named = {"use": "icliniq", "permission": "replica written for mundap"}
    recipe = config.parse({"collect": {"demo_site": True, "sources": [named]}}, "demo")
    manifest = stage.run(recipe, work)
    assert (manifest.kept, list(manifest.details["hosts"])) == (42, ["www.icliniq.com"])
    assert stage.run(recipe, work) == manifest  # another port would be tried, but the key does not hold it


def test_the_same_key_is_done_in_under_a_second_and_a_changed_file_is_not(
    tmp_path: Path, work: Work, recipe: Make
) -> None:
    first = stage.run(recipe(alpaca(tmp_path)), work)
    begun = time.monotonic()
    assert stage.run(recipe(alpaca(tmp_path)), work) == first
    assert time.monotonic() - begun < 1
    assert stage.run(recipe(alpaca(tmp_path, 4)), work).kept == 4


def test_rows_in_are_rows_out_and_refusals_in_the_recipes_order(
    tmp_path: Path, base: str, work: Work, recipe: Make
) -> None:
    site = {"use": "hidoc", "base_url": f"{base}/hidoc", "permission": "x", "departments": ["PF000"]}
    again = site | {"departments": ["PF000", "PN000"]}
    manifest = stage.run(recipe(site, alpaca(tmp_path), again), work)
    found = list(read_jsonl(work.root / "collect" / "out.jsonl"))
    assert [each["trail"][0] for each in found] == ["collect:hidoc@1"] * 5 + ["collect:alpaca@1"] * 3 + [
        "collect:hidoc@1"
    ] * 4
    assert manifest.dropped == {"collected twice": 5}
    assert len({each["id"] for each in found}) == len(found)
    assert [each["kept"] for each in manifest.details["sources"]] == [5, 3, 4]


def test_every_problem_of_every_source_is_told_before_anything_is_fetched(work: Work, recipe: Make) -> None:
    with pytest.raises(ConfigError) as error:
        stage.run(recipe({"use": "hidoc"}, {"use": "alpaca", "file": "x"}), work)
    text = str(error.value)
    assert all(part in text for part in ("2 problems", "sources.0 (hidoc)", "permission", "sources.1", "path"))
    with pytest.raises(ConfigError, match="no sources"):
        stage.run(recipe(), work)


def test_a_page_that_no_longer_fits_is_counted_and_named(
    tmp_path: Path, work: Work, recipe: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "saved" / "www.hidoc.co.kr" / "healthqna" / "view" / "C0001000001.html"
    page.parent.mkdir(parents=True)
    page.write_text("<title>new design</title>", "utf-8")
    manifest = stage.run(recipe({"use": "pages", "path": str(tmp_path / "saved")}), work)
    assert manifest.kept == 0
    (reason,) = manifest.details["misfits"]
    assert manifest.details["misfits"][reason] == ["https://www.hidoc.co.kr/healthqna/view/C0001000001"]
    assert "found nothing on 1 pages: https://www.hidoc.co.kr/healthqna/view/C0001000001" in capsys.readouterr().err


def test_saved_pages_of_any_site_by_path_comment_or_canonical_link(tmp_path: Path) -> None:
    question = korean()[1]
    by_path = tmp_path / "kin.naver.com" / "qna" / "detail.naver?d1id=7&dirId=70104&docId=319500002.html"
    by_path.parent.mkdir(parents=True)
    by_path.write_text(kin_pages.detail(question), "utf-8")
    body = hidoc_pages.detail(korean()[11]).body
    assert isinstance(body, bytes)
    (tmp_path / "a.html").write_bytes(
        b"<!-- saved from url=(0050)https://www.hidoc.co.kr/healthqna/view/C0001000012 -->" + body
    )
    canonical = '<link rel="canonical" href="https://www.icliniq.com/qa/skin/itch">'
    answer = '<div class="alert alert-default border corner qContent">Q</div><div class="ansExtCon"><p>A</p></div>'
    (tmp_path / "b.html").write_text(canonical + answer, "utf-8")
    (tmp_path / "c.html").write_text("<p>hello</p>", "utf-8")
    found = list(Saved(path=str(tmp_path), permission="mine").read())
    records = {each.trail[0]: each for each in found if isinstance(each, QA)}
    assert set(records) == {"collect:kin@1", "collect:hidoc@1", "collect:icliniq@1"}
    assert records["collect:hidoc@1"].question.replace("\n", " ") == korean()[11].body
    assert all(each.permission == "mine" for each in records.values())
    assert [each.reason for each in found if isinstance(each, Drop)] == ["of no known site"]


def test_the_demo_server_runs_and_a_person_can_click_through_it() -> None:
    code = "from mundap.collect.replica.server import run; run(0)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        base = process.stdout.readline().split()[3]
        try:
            for path in (
                "/",
                "/hidoc/healthqna/list?page=1",
                "/healthqna/view/C0001000001",
                "/kin/qna/expertAnswerList.naver?page=1",
                "/qa?page=1",
            ):
                with urllib.request.urlopen(base + path, timeout=5) as response:
                    assert response.status == 200
        finally:
            process.terminate()


def test_every_registered_source_is_a_source(tmp_path: Path) -> None:
    for name in registry.BUILT_IN["sources"]:
        wanted = (
            {"path": str(tmp_path)}
            if name in ("alpaca", "chatdoctor", "csv", "huggingface", "medquad", "pages", "songys")
            else {"permission": "x"}
        )
        assert isinstance(registry.create("sources", name, **wanted), Source)

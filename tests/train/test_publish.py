"""Publishing: refused where a licence forbids it, a dry run unless told otherwise, uploaded to a server that speaks the hub's interface."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
pytest.importorskip("torch")

from finished import finished, recipe, sources
from hub import COMMIT, Hub, hub

from mundap.errors import UserError
from mundap.store import Manifest, Work
from mundap.train import export, licences, merge, publish

TOKEN = "hf_a_secret_for_tests"
# huggingface_hub 2.4 gives a file to its HTTP client in a way that the client no longer likes.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Work:
    work = finished(tmp_path_factory.mktemp("exported"))
    merge.run(recipe(work), work)
    export.run(recipe(work), work)
    return work


@pytest.fixture
def work(exported: Work, tmp_path: Path) -> Work:
    shutil.copytree(exported.root, tmp_path / "run")
    shutil.copytree(exported.root.parent / "base", tmp_path / "base")
    return Work(tmp_path / "run")


def settings(work: Work, **publish: Any) -> Any:
    return recipe(work, publish={"repo": "me/tuned", "base_licence": "Apache-2.0", **publish})


def test_a_dry_run_says_what_would_go_and_sends_nothing(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    with hub() as server:
        done = publish.run(settings(work, endpoint=server.address), work)
        assert server.requests == []
    said = capsys.readouterr().out
    assert "A dry run: nothing is uploaded." in said and "me/tuned (private)" in said
    assert re.search(r"MB  model\.safetensors", said) and "README.md" in said
    assert done.details["uploaded"] is False and done.kept == len(done.details["bytes"])


def test_an_upload_puts_every_file_there_privately(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with hub(TOKEN) as server:
        wanted = settings(work, endpoint=server.address, upload=True)
        done = publish.run(wanted, work)
        there = server.repos["me/tuned"]
        assert server.private == {"me/tuned": True}
        assert done.details["commit"].endswith(COMMIT)
        sent = {path.name: path.read_bytes() for path in (work.root / "publish/files").iterdir()}
        assert there == sent and {"model.gguf", "Modelfile", "README.md", "template.json"} <= there.keys()
        assert len(server.objects) == 2  # weights and GGUF as large files, by their digests
        before = len(server.requests)
        publish.run(wanted, work)
        assert len(server.requests) == before
    for path in (work.root / "publish").rglob("*.json"):
        assert TOKEN not in path.read_text()


def test_a_public_repository_is_made_only_when_told(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with hub(TOKEN) as server:
        publish.run(settings(work, endpoint=server.address, upload=True, private=False), work)
        assert server.private == {"me/tuned": False}
        with pytest.raises(UserError, match="exists and is public"):
            publish.run(settings(work, endpoint=server.address, upload=True), work)


@pytest.mark.parametrize("step", ["create", "upload", "commit"])
def test_what_the_hub_refuses_is_one_message_and_can_be_tried_again(
    work: Work, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with hub(TOKEN) as server:
        server.broken = step
        wanted = settings(work, endpoint=server.address, upload=True)
        with pytest.raises(UserError, match="the upload to me/tuned failed: ") as raised:
            publish.run(wanted, work)
        assert TOKEN not in str(raised.value) and "\n" not in str(raised.value)
        assert work.manifest("publish") is None
        server.broken = ""
        assert publish.run(wanted, work).details["uploaded"] is True


def test_a_wrong_token(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", "hf_wrong")
    with hub(TOKEN) as server, pytest.raises(UserError, match="401"):
        publish.run(settings(work, endpoint=server.address, upload=True, token_from="OTHER"), work)


def test_no_hub_there(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(UserError, match="the upload to me/tuned failed"):
        publish.run(settings(work, endpoint="http://127.0.0.1:9", upload=True), work)


def test_what_is_missing_is_said_first(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(UserError, match="run `mundap export`"):
        publish.run(settings(work), Work(tmp_path / "none"))
    with pytest.raises(UserError, match="set the environment variable HF_TOKEN"):
        publish.run(settings(work, upload=True), work)
    with pytest.raises(UserError, match="publish.repo is 'tuned'; write it as owner/name"):
        publish.run(settings(work, repo="tuned"), work)
    (work.root / "build/out.jsonl").unlink()
    with pytest.raises(UserError, match="nothing says whether the data may be published"):
        publish.run(settings(work), work)


@pytest.mark.parametrize(
    ("licence", "permission", "why"),
    [
        ("CC BY-NC 4.0", "", "forbids commercial use"),
        ("CC BY-NC-SA 4.0", "", "forbids commercial use"),
        ("CC BY-ND 4.0", "", "forbids derived works"),
        ("all rights reserved", "", "all rights are reserved"),
        ("", "", "no rule knows it"),
        ("made up", "", "no rule knows it"),
        ("", "a letter of 2026-10-02", "a permission to use them is not one to publish"),
    ],
)
def test_rows_that_forbid_it(work: Work, licence: str, permission: str, why: str) -> None:
    sources([("train", "MIT", ""), ("train", licence, permission), ("val", licence, permission)], work)
    with pytest.raises(UserError, match=rf"(?s)not published.*2 rows under .*{why}"):
        publish.run(settings(work), work)


def test_rows_held_out_for_testing_are_not_in_the_weights(work: Work) -> None:
    sources([("train", "MIT", ""), ("test", "all rights reserved", "")], work)
    assert publish.run(settings(work), work).kept


def test_a_permission_that_covers_publishing_is_named_in_the_recipe(work: Work) -> None:
    sources([("train", "", "a letter of 2026-10-02")], work)
    assert publish.run(settings(work, permissions=["a letter of 2026-10-02"]), work).kept


@pytest.mark.parametrize(
    "licence",
    ["CC BY 4.0", "cc-by-sa-4.0", "MIT", "Apache-2.0", "public domain (name MedlinePlus.gov as source)", "CC0-1.0",
     "공공데이터 (data.go.kr/data/15075057)", "BSD-3-Clause"],
)  # fmt: skip
def test_licences_that_let_it_be_handed_on(licence: str) -> None:
    assert licences.refusal(licence) == ""


def test_the_base_may_forbid_it_too(work: Work) -> None:
    with pytest.raises(UserError, match=r"the base .*base under no stated licence: .*publish.base_licence"):
        publish.run(settings(work, base_licence=""), work)
    (work.root.parent / "base/README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    with pytest.raises(UserError, match="the base .* under cc-by-nc-4.0: it forbids commercial use"):
        publish.run(settings(work, base_licence=""), work)
    (work.root.parent / "base/README.md").write_text("---\nlicense: apache-2.0\n---\n")
    assert publish.run(settings(work, base_licence=""), work).kept


def card(work: Work) -> tuple[dict[str, Any], str]:
    publish.run(settings(work), work)
    text = (work.root / "publish/files/README.md").read_text("utf-8")
    _, header, body = text.split("---\n", 2)
    return yaml.safe_load(header), body


def test_the_card_says_what_the_run_says(work: Work) -> None:
    header, body = card(work)
    assert header["license"] == "apache-2.0" and header["language"] == ["ko"] and header["model_name"] == "tuned"
    for said in (
        "example.org | 2", "CC BY 4.0 | 1", "MIT | 1", "lr | 0.0003", "steps done | 12", "3,456", "cpu, 1 threads", "1 min",
        "3.250 before training, 2.500 after", "mundap-ko", "Not evaluated yet", "not a medical device", "No clinician has reviewed",
        "의료기기가 아니며", "119", "109",
    ):  # fmt: skip
        assert said in body, said
    assert "[More Information Needed]" not in body and str(work.root.parent) not in body + str(header)


def test_the_card_shows_what_was_measured(work: Work) -> None:
    measures = [
        {"target": target, "set": "items-ko", "metric": "chrf", "n": 150, "mean": mean, "low": mean - 1, "high": mean + 1,
         "chance": None}
        for target, mean in (("base", 11.5), ("tuned", 23.25))
    ]  # fmt: skip
    (work.folder("evaluate") / "summary.json").write_text(json.dumps({"measures": measures}))
    assert "Not evaluated yet" in card(work)[1]  # the stage has not finished
    work.finish(Manifest("evaluate", "key"))
    header, body = card(work)
    assert "| tuned | items-ko | chrf | 150 | 23.2 | 22.2 to 24.2 |" in body and "Not evaluated yet" not in body
    results = header["model-index"][0]["results"]
    assert [each["metrics"][0]["value"] for each in results] == [23.25]


def test_the_server_checks_what_it_is_sent() -> None:
    import urllib.error
    import urllib.request

    with hub() as server:
        wrong = urllib.request.Request(f"{server.address}/lfs/{'0' * 64}", b"other bytes", method="PUT")
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(wrong)
        assert isinstance(server, Hub) and not server.objects

"""`mundap publish`: the exported model and its card to a model hub; a dry run unless told otherwise, private likewise.

Refused when a licence of the data or of the base does not let the model be handed on. The upload speaks the interface of
the Hugging Face hub; it was tried against a server on this machine that speaks it too, not against the hub itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from mundap.config import Recipe
from mundap.errors import MissingExtra, UserError
from mundap.store import Manifest, Work, code_digest, digest, file_digest, replacing, versions
from mundap.train import licences, model_card, place

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB = "https://huggingface.co"
CARD = "README.md"


def run(recipe: Recipe, work: Work) -> Manifest:
    """Gather what is published in `publish/files`, show it and, with `upload`, upload it. Raises `UserError`."""
    exported = work.root / "export"
    if work.manifest("export") is None:
        raise UserError(f"no finished export in {exported}; run `mundap export` for this recipe first")
    settings, token = recipe.publish, _token(recipe)
    if not _REPO.fullmatch(settings.repo):
        raise UserError(f"publish.repo is {settings.repo!r}; write it as owner/name")
    data = licences.data_of(work)
    if found := list(licences.problems(recipe, data)):
        raise UserError(
            "not published, because a licence does not let it:\n" + "\n".join(f"  - {line}" for line in found)
        )
    card = model_card.text(recipe, work, data)
    inputs = {"export/manifest.json": file_digest(exported / "manifest.json"), "card": digest(card)}
    key = digest([settings.model_dump(), inputs, code_digest("mundap.train"), versions("huggingface_hub")])
    done = work.fresh("publish", key)
    return done or _publish(recipe, work, card, token, Manifest("publish", key, inputs=inputs, seed=recipe.seed))


def _token(recipe: Recipe) -> str:
    """The token, which is only ever in the environment. Raises when an upload has none."""
    name = recipe.publish.token_from
    token = os.environ.get(name, "")
    if recipe.publish.upload and not token:
        raise UserError(f"no token for the upload: set the environment variable {name} (a token that may write)")
    return token


def _publish(recipe: Recipe, work: Work, card: str, token: str, manifest: Manifest) -> Manifest:
    began, settings = perf_counter(), recipe.publish
    folder = _gathered(work, card)
    sizes = {
        path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()
    }
    where = f"{settings.endpoint or _HUB}/{settings.repo} ({'private' if settings.private else 'PUBLIC'})"
    _show(sizes, where, folder / CARD, settings.upload)
    url = _upload(recipe, folder, token) if settings.upload else ""
    details = {"uploaded": settings.upload, "to": where, "commit": url, "bytes": sizes}
    return work.finish(
        Manifest(
            "publish", manifest.key, len(sizes), inputs=manifest.inputs, seed=manifest.seed,
            seconds=round(perf_counter() - began, 3), versions=versions("huggingface_hub"), details=details,
        )
    )  # fmt: skip


def _gathered(work: Work, card: str) -> Path:
    """The folder that goes up: the model's files, the GGUF file with its Modelfile, and the card."""
    with place.making(work, "publish") as made:
        files = made / "files"
        place.link(work.root / "export" / "model", files)
        if (work.root / "export" / "model.gguf").is_file():  # a Modelfile names the files beside it
            place.link(work.root / "export", files, ("model.gguf", "Modelfile"))
        with replacing(files / CARD) as stream:
            stream.write(card)
    return work.root / "publish" / "files"


def _show(sizes: dict[str, int], where: str, card: Path, upload: bool) -> None:
    print(f"{'Uploading' if upload else 'A dry run: nothing is uploaded. It would go'} to {where}")
    for name, size in sizes.items():
        print(f"  {size / 1e6:>10.2f} MB  {name}")
    print(f"  {sum(sizes.values()) / 1e6:>10.2f} MB  in {len(sizes)} files; the card is {card}")
    if not upload:
        print("  To upload: -o publish.upload=true, with a token in the environment")


def _upload(recipe: Recipe, folder: Path, token: str) -> str:
    """Create the repository if need be and upload the folder in one commit; the commit's address."""
    try:
        from httpx2 import HTTPError  # what huggingface_hub speaks through
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ModuleNotFoundError as error:
        raise MissingExtra("publishing needs huggingface_hub: pip install 'mundap[train]'") from error
    settings = recipe.publish
    with _plain_transfer(settings.endpoint):
        api = HfApi(endpoint=settings.endpoint, token=token)
        try:
            api.create_repo(settings.repo, private=settings.private, exist_ok=True)
            _check_private(api, recipe)
            done = api.upload_folder(
                repo_id=settings.repo, folder_path=folder, commit_message=f"{recipe.name}, by mundap"
            )
        except (HTTPError, HfHubHTTPError, HFValidationError, OSError, ValueError, RuntimeError) as error:
            raise UserError(f"the upload to {settings.repo} failed: {_plainly(error, token)}") from error
    return str(getattr(done, "commit_url", done))


def _check_private(api: Any, recipe: Recipe) -> None:
    """A repository that was there already keeps its visibility: a private upload into a public one is refused."""
    if recipe.publish.private and api.repo_info(recipe.publish.repo).private is False:
        raise ValueError("the repository exists and is public; set publish.private: false if that is meant")


def _plainly(error: Exception, token: str) -> str:
    """What went wrong and what that came from, without the token."""
    said = [line.strip() for each in (error, error.__cause__) if each is not None for line in str(each).splitlines()]
    return " ".join(dict.fromkeys(line for line in said if line))[:400].replace(token, "…") or type(error).__name__


@contextmanager
def _plain_transfer(endpoint: str | None) -> Iterator[None]:
    """Hubs other than Hugging Face's take large files over plain HTTP (LFS), without its own transfer protocol."""
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    before, constants.HF_HUB_DISABLE_XET = constants.HF_HUB_DISABLE_XET, constants.HF_HUB_DISABLE_XET or bool(endpoint)
    disable_progress_bars()
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = before
        enable_progress_bars()

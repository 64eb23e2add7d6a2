"""DeepL by its own Python client (`pip install deepl`). Tried against a local server only."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape, unescape
from importlib.resources import files
from typing import Any

import yaml

from mundap.errors import ModelError
from mundap.store import digest
from mundap.translate.access import address, key, said
from mundap.translate.limits import Again, Limits, batches
from mundap.types import Lang
from mundap.waiting import retry_after

# The service takes 50 texts and 128 KiB a request; a Korean letter is three bytes, and six as an escape.
_MOST, _CHARACTERS = 50, 15_000
# The service takes ten instructions of 300 characters with a request.
_INSTRUCTIONS, _INSTRUCTION = 10, 300
_PLACEHOLDER = re.compile(r"⟦[^⟦⟧]*⟧")
_TAG = "x"
_CODES = {("ko", "source"): "KO", ("en", "source"): "EN", ("ko", "target"): "KO", ("en", "target"): "EN-US"}

Terms = Sequence[tuple[str, str]]


class DeepL:
    """Texts in batches, placeholders marked as not to be touched. `glossary` is the id of one made at DeepL.

    With `instructions` the glossary terms of a text go with it, which then has a request of its own. The key comes from
    the environment variable `key_from`; `timeout` is in seconds, for one try.
    """

    name = "deepl"
    notice = ""

    def __init__(
        self,
        glossary: str = "",
        formality: str = "prefer_more",
        instructions: bool = False,
        key_from: str = "DEEPL_AUTH_KEY",
        url: str = "",
        timeout: float = 20.0,
        requests: float = 5.0,
        characters: float = 0.0,
        tries: int = 4,
        patience: float = 30.0,
    ) -> None:
        import deepl

        self._key, self._key_from = key(key_from, "DeepL"), key_from
        where = f"{address(url, 'DeepL')}/" if url else None
        self._client: Any = deepl.DeepLClient(self._key, server_url=where, skip_language_check=True)
        self._http = self._client._client = _transport(timeout)
        self._limits = Limits(requests, characters, tries, patience)
        self._glossary, self._formality, self._instructs = glossary, formality, instructions
        self.model = "default"
        self.version = digest([formality, glossary, instructions and _instruction()])[:8]
        logging.getLogger("deepl").setLevel(logging.WARNING)  # at DEBUG the client writes down the texts

    def __call__(self, texts: Sequence[str], source: Lang, target: Lang) -> list[str]:
        """Translate; one text out for each in. Raises `ModelError` when the service refuses or cannot be reached."""
        return self.with_terms(texts, source, target, [()] * len(texts))

    def with_terms(self, texts: Sequence[str], source: Lang, target: Lang, terms: Sequence[Terms]) -> list[str]:
        """Translate with each text's own glossary terms given as instructions; texts without terms share requests."""
        terms = terms if self._instructs else [()] * len(texts)
        done = [""] * len(texts)
        for places in _requests(texts, terms):
            found = self._ask([texts[place] for place in places], source, target, terms[places[0]])
            for place, text in zip(places, found, strict=True):
                done[place] = text
        return done

    def _ask(self, texts: Sequence[str], source: Lang, target: Lang, terms: Terms) -> list[str]:
        marked = [_PLACEHOLDER.sub(rf"<{_TAG}>\g<0></{_TAG}>", escape(text, quote=False)) for text in texts]
        asked: dict[str, Any] = {
            "source_lang": _CODES[source, "source"], "target_lang": _CODES[target, "target"],
            "tag_handling": "xml", "ignore_tags": [_TAG], "preserve_formatting": True, "formality": self._formality,
            "glossary": self._glossary or None, "custom_instructions": _instructions(terms) or None,
        }  # fmt: skip
        return self._limits.call(lambda: self._once(marked, asked), sum(map(len, texts)), "DeepL")

    def _once(self, texts: Sequence[str], asked: dict[str, Any]) -> list[str]:
        import deepl

        try:
            found = self._client.translate_text(texts, **asked)
        except deepl.DeepLException as error:
            raise self._refused(error) from error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise Again("its answer is not the documented JSON") from error
        if len(found) != len(texts):
            raise Again(f"its answer has {len(found)} translations for {len(texts)} texts")
        return [unescape(re.sub(rf"</?{_TAG}\s*/?>", "", str(each.text))) for each in found]

    def _refused(self, error: Any) -> Exception:
        """What the client's exception means: to try again, or the end and what to do."""
        status, words = error.http_status_code, said(str(error), self._key)
        if status is None or status == 429 or status >= 500:  # no status: the connection failed
            return Again(words, self._http.retry_after)
        if status == 456:
            advice = "the quota of this billing period is used up: raise it at DeepL, or run this again next month; what is done stays done"
        elif status in (401, 403):
            advice = f"is the key in the environment variable {self._key_from} right?"
        else:
            advice = "see its words"
        return ModelError(f"DeepL refused ({words}); {advice}")

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()


def _transport(timeout: float) -> Any:
    """The client's own transport without its tries, which do not read `Retry-After`: `Limits` has them."""
    from deepl.http_client import HttpClient

    class Once(HttpClient):  # type: ignore[misc]
        retry_after: float | None = None

        def request_with_backoff(
            self, method: str, url: str, data: Any, json: Any, headers: Any, stream: bool = False, **more: Any
        ) -> Any:
            request = self._prepare_request(method, url, data, json, headers, **more)
            request.register_hook("response", self.note)
            self.retry_after = None
            return self._internal_request(request, stream=stream, timeout=timeout)

        def note(self, response: Any, *_: Any, **__: Any) -> None:
            self.retry_after = retry_after(response.headers.get("Retry-After"))

    return Once(send_platform_info=False)


def _requests(texts: Sequence[str], terms: Sequence[Terms]) -> Iterator[list[int]]:
    """The places of texts that share a request: those without terms; one with terms is alone, an empty one in none."""
    filled = [place for place, text in enumerate(texts) if text.strip()]
    plain = [place for place in filled if not terms[place]]
    for part in batches([texts[place] for place in plain], _MOST, _CHARACTERS):
        yield [plain[n] for n in part]
    yield from ([place] for place in filled if terms[place])


def _instructions(terms: Terms) -> list[str]:
    written = [_instruction().format(term=term, approved=approved) for term, approved in terms]
    return [line for line in written if len(line) <= _INSTRUCTION][:_INSTRUCTIONS]


@cache
def _instruction() -> str:
    text = (files("mundap.translate") / "prompts.yaml").read_text("utf-8")
    return str(yaml.load(text, Loader=yaml.CSafeLoader)["deepl"]["term"])

"""Papago, Naver Cloud's paid translation service, over its HTTP interface. Tried against a local server only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mundap.errors import ModelError
from mundap.translate.access import address, key, said
from mundap.translate.limits import Again, Limits, fitting, joined, together
from mundap.types import Lang
from mundap.waiting import retry_after

_URL = "https://papago.apigw.ntruss.com/nmt/v1/translation"
_LONGEST = 5000  # characters of one request (the service's own limit)
# The gateway's code for a used-up quota; its other 429 codes (410, 420) mean that requests came too fast.
_QUOTA = "400"


class Papago:
    """Texts one a request, long ones in parts; polite Korean. `glossary` is the key of a glossary made at Papago.

    Keys come from the environment variables named by `id_from` and `key_from`. `timeout` is in seconds, for one try.
    """

    name = "papago"
    notice = ""

    def __init__(
        self,
        glossary: str = "",
        id_from: str = "NCP_APIGW_API_KEY_ID",
        key_from: str = "NCP_APIGW_API_KEY",
        url: str = _URL,
        timeout: float = 20.0,
        at_once: int = 4,
        requests: float = 10.0,
        characters: float = 0.0,
        tries: int = 4,
        patience: float = 30.0,
    ) -> None:
        import httpx

        self._url = address(url, "Papago")
        self._keys = (key(id_from, "Papago"), key(key_from, "Papago"))
        self._variables = f"{id_from} and {key_from}"
        self._limits = Limits(requests, characters, tries, patience)
        self._glossary, self._at_once = glossary, at_once
        headers = dict(zip(("x-ncp-apigw-api-key-id", "x-ncp-apigw-api-key"), self._keys, strict=True))
        self._client = httpx.Client(headers=headers, timeout=timeout)
        self.model = "nmt"
        self.version = f"honorific {glossary}".strip()

    def __call__(self, texts: Sequence[str], source: Lang, target: Lang) -> list[str]:
        """Translate; one text out for each in. Raises `ModelError` when the service refuses or cannot be reached."""
        return together(lambda text: self._whole(text, source, target), texts, self._at_once)

    def _whole(self, text: str, source: Lang, target: Lang) -> str:
        if not text.strip():
            return ""
        parts = fitting(text, lambda part: len(part) <= _LONGEST)
        return joined(parts, [self._part(part, source, target) for part in parts])

    def _part(self, text: str, source: Lang, target: Lang) -> str:
        if not text.strip():
            return ""
        body: dict[str, Any] = {"source": source, "target": target, "text": text, "honorific": target == "ko"}
        if self._glossary:
            body["glossaryKey"] = self._glossary
        return self._limits.call(lambda: self._once(body), len(text), f"Papago at {self._url}")

    def _once(self, body: dict[str, Any]) -> str:
        import httpx

        try:
            response = self._client.post(self._url, json=body)
        except httpx.HTTPError as error:
            raise Again(f"{type(error).__name__}: {said(str(error), *self._keys)}") from error
        if response.status_code != 200:
            raise self._refused(response)
        try:
            return _text(response.json())
        except (ValueError, KeyError, TypeError) as error:
            raise Again("its answer is not the documented JSON") from error

    def _refused(self, response: Any) -> Exception:
        """What a status other than 200 means: to try again, or the end and what to do."""
        status, (code, words) = response.status_code, _error(response)
        words = said(f"{status} {code} {words}", *self._keys)
        if status >= 500 or (status == 429 and code != _QUOTA):
            return Again(words, retry_after(response.headers.get("retry-after")))
        return ModelError(f"Papago at {self._url} refused ({words}); {self._advice(status, code)}")

    def _advice(self, status: int, code: str) -> str:
        if status == 429:
            return (
                "its quota is used up, or Text Translation is not ticked for this application: see the Naver Cloud console. "
                "What is done stays done; run this again when there is quota"
            )
        if status in (401, 403):
            return f"are the keys in the environment variables {self._variables} right?"
        return "is its address right?" if status == 404 else f"see {code or 'its code'} in Papago's documentation"

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()


def _text(answer: Any) -> str:
    text = answer["message"]["result"]["translatedText"]
    if not isinstance(text, str):
        raise TypeError(type(text).__name__)
    return text


def _error(response: Any) -> tuple[str, str]:
    """Code and words of an error in either documented form: the gateway's (`error`) or the translator's own."""
    try:
        body = response.json()
        found = body.get("error", body)
        return str(found.get("errorCode", "")), str(found.get("message") or found.get("errorMessage") or "")
    except (ValueError, AttributeError):
        return "", response.reason_phrase

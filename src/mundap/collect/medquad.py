"""MedQuAD (Ben Abacha and Demner-Fushman, 2019; CC BY 4.0): its folders of XML, or the same as JSON lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

from mundap.collect.files import SUFFIXES, Rows, limited, paths
from mundap.collect.html import xml
from mundap.collect.record import Refused
from mundap.types import QA, Drop, Lang


@dataclass(frozen=True, kw_only=True)
class MedQuAD(Rows):
    """Questions about diseases, drugs and tests, answered by institutes of the NIH."""

    lang: Lang = "en"
    licence: str = "CC BY 4.0"
    name: ClassVar[str] = "medquad"

    @property
    def inputs(self) -> list[Path]:
        """The given file, or a folder's XML files, or its JSON lines where there is no XML."""
        given = Path(self.path)
        return paths(self.path, (".xml",)) if any(given.rglob("*.xml")) else paths(self.path, SUFFIXES)

    def read(self) -> Iterator[QA | Drop]:
        """A record for each answer; most XML files of three of the collections have none (copyright)."""
        if self.inputs[0].suffix.lower() != ".xml":
            return super().read()
        return limited(self.limit, (made for path in self.inputs for made in self._document(path)))

    def fields(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A JSON line: `id`, `url`, `focus`, `question`, `answer`."""
        more = {"source": row.get("url"), "title": row.get("focus")}
        texts = {key: value for key, value in more.items() if isinstance(value, str) and value}
        return {"question": row.get("question"), "answer": row.get("answer"), **texts}

    def _document(self, path: Path) -> Iterator[QA | Drop]:
        try:
            root = xml(path.read_bytes())
        except Refused as error:
            yield self.provenance.drop(str(error), file=str(path), line=1)
            return
        for number, pair in enumerate(root.iter("QAPair"), 1):
            yield self._pair(path, root, number, pair)

    def _pair(self, path: Path, root: ElementTree.Element, number: int, pair: ElementTree.Element) -> QA | Drop:
        question, answer = pair.findtext("Question"), pair.findtext("Answer")
        more = {"source": root.get("url") or str(path), "title": (root.findtext("Focus") or "").strip()}
        try:
            page = f"{path.parent.name}/{path.name}"
            return self.provenance.qa(page, str(number), question, answer, **more)
        except Refused as error:
            return self.provenance.drop(str(error), file=str(path), line=number, text=question or "")

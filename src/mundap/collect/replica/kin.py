"""지식iN in three templates, its experts' list and both search APIs. Its robots.txt forbids the pages, as the real one does."""

# ruff: noqa: E501  (pages stand on long lines)

from __future__ import annotations

import json
from html import escape

from mundap.collect.replica.content import DOCTORS, Question, korean
from mundap.collect.replica.wire import Answer, Request

ROBOTS = "User-agent: *\nDisallow: /qna\nDisallow: /search\nDisallow: /list\nDisallow: /open100\nDisallow: /expert\n"
_FIRST = 319_500_000
_QUESTIONS = 24
DELETED, DELETED_ANSWER, PAID, TITLE_ONLY, OPEN100 = 5, 7, 9, 10, 12


def detail_path(number: int) -> str:
    """The address of a question's page."""
    return f"/qna/detail.naver?d1id=7&dirId=70104&docId={_FIRST + number}"


def page(request: Request) -> Answer | None:
    """The answer to a request, or None for a page that is not there."""
    if request.path in ("/search/v1/kin", "/v1/search/kin.json"):
        return _api(request)
    if request.path == "/qna/expertAnswerList.naver":
        return _experts(request)
    number = int(request.query.get("docId", "0")) - _FIRST
    if request.path == "/qna/detail.naver" and 1 <= number <= _QUESTIONS:
        return Answer(detail(korean()[number - 1]))
    return None


def _api(request: Request) -> Answer:
    wanted, start, display = request.query.get("query", ""), int(request.query["start"]), int(request.query["display"])
    body: dict[str, object]
    if not wanted:
        body = {"errorCode": "SE01", "errorMessage": "Incorrect query request (잘못된 쿼리요청입니다.)"}
        return Answer(json.dumps(body, ensure_ascii=False), status=400, headers={"Content-Type": "application/json"})
    found = [each for each in korean()[:_QUESTIONS] if wanted in each.title + each.body]
    items = [_item(each, wanted) for each in found[start - 1 : start - 1 + display]]
    body = {
        "lastBuildDate": "Mon, 08 Jun 2026 12:00:00 +0900",
        "total": len(found),
        "start": start,
        "display": len(items),
        "items": items,
    }
    return Answer(json.dumps(body, ensure_ascii=False), headers={"Content-Type": "application/json; charset=UTF-8"})


def _item(question: Question, wanted: str) -> dict[str, str]:
    link = f"https://kin.naver.com{detail_path(question.number)}&qb=7ZWY&enc=utf8&section=kin.qna&rank=1&search_sort=0&spq=0"
    return {
        "title": question.title.replace(wanted, f"<b>{wanted}</b>"),
        "link": link,
        "description": question.answer[:60],
    }


def _experts(request: Request) -> Answer:
    current = int(request.query.get("page", "1"))
    shown = (
        korean()[(current - 1) * 20 : min(current * 20, _QUESTIONS)] or korean()[:20]
    )  # past the end it begins again
    rows = "".join(
        f'<tr><td class="title"><a href="{escape(detail_path(each.number))}">{escape(each.title)}</a></td><td class="field"><a>내과</a></td></tr>'
        for each in shown
    )
    return Answer(
        f'<title>목록</title><div class="s_header"><h2>의사 답변</h2></div><table><tbody id="au_board_list">{rows}</tbody></table>'
    )


def detail(question: Question) -> str:
    """A question's page: SmartEditor, the old editor and the template before 2023 in turn."""
    if question.number == DELETED:
        return '<html><script>alert("삭제된 질문입니다.");location.href="/";</script></html>'
    head = f'<html><head><title>{escape(question.title)} : 지식iN</title><meta property="og:title" content="{escape(question.title)}"></head><body>'
    body = "" if question.number == TITLE_ONLY else escape(question.body).replace(". ", ".<br>")
    if question.number == OPEN100:
        return f'{head}<div class="end_question"><h3>{escape(question.title)}</h3><div class="_endContents">{body}</div></div><div class="_endContents">{escape(question.answer)}</div>'
    if question.number % 3 == 0 and question.number != PAID:
        return (
            f'{head}<div class="c-heading__title-inner">질문 {escape(question.title)}</div><div class="c-heading__content">{body}</div>'
            f'<div class="_endContentsText c-heading-answer__content-user">{escape(question.answer)}</div></body></html>'
        )
    when = "5시간 전" if question.number == 1 else f"2024.03.{1 + question.number % 28:02d}"
    return (
        f'{head}<div id="content"><div class="endContentLeft _endContentLeft"><div class="contentArea _contentWrap"><div class="endTitleSection">'
        f'<span>질문</span>{escape(question.title)}</div><div class="userInfo userInfo__bullet"><span class="infoItem">비공개</span><span class="infoItem">조회수 1,234'
        f'</span><span class="infoItem">작성일{when}</span></div><div class="questionDetail">{body}</div><div class="tagList"><a class="tag">#내과</a></div></div>'
        f'<span class="_answerCount">1</span><div class="_contentBox contentBox">{_answer(question)}</div></div></div></body></html>'
    )


def _answer(question: Question) -> str:
    box = f'<div id="answer_{question.number}" class="answerArea _contentWrap _answer">'
    if question.number == DELETED_ANSWER:
        return f'{box}<div class="answerDetail">삭제된 답변입니다.</div></div>'
    badge = (
        '<span class="badge expert">eXpert</span>'
        if question.number == PAID
        else '<span class="badge expert_job">전문의</span>'
    )
    name = DOCTORS[question.number % len(DOCTORS)]
    text = escape(f"안녕하세요. 대한의사협회·네이버 지식iN 상담의사 {name} 입니다.\u200b {question.answer} 감사합니다.")
    if question.number % 2:
        text = f'<div class="se-main-container"><div class="se-module se-module-text"><p class="se-text-paragraph"><span>{text}</span></p></div></div>'
    return (
        f'{box}<div class="profile_info"><div class="name_area"><strong class="name">{name}</strong></div><div class="badge_area">{badge}</div></div>'
        f'<div class="answerInfo"><strong class="title">질문자 채택</strong></div><div class="answerDetail _endContents _endContentsText">{text}</div>'
        f'<p class="answerDate">2024.03.01.</p><div class="additionQna _additionalQna">추가 질문: 그럼 약은요?</div></div>'
    )

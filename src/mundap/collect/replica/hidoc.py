"""Pages in the shape of HiDoc's, with the traps that its real ones set."""

# ruff: noqa: E501  (pages stand on long lines)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from html import escape

from mundap.collect.hidoc import DEPARTMENTS
from mundap.collect.replica.content import DOCTORS, Question, korean
from mundap.collect.replica.wire import Answer, Request

_PER_PAGE = 7
_FIRST, _FIRST_ANSWER = 1_000_000, 5_000_000
_DELETED = '"본 게시물은 질문자 본인의 요청으로 삭제되었습니다."'
_OPENINGS = (
    "안녕하세요. 하이닥 {clinic} 상담의 {doctor} 입니다.<br><br>",
    "안녕하세요,하이닥 {clinic} 상담의 {doctor}입니다.<br>",
    "안녕하십니까? 하이닥-네이버 지식iN 상담의사 {doctor}입니다. ",
    "안녕하세요? 하이닥 {clinic} 상담의 '{doctor}' 입니다.<p></p>",
)
_CLOSINGS = ("<br><br>감사합니다.", "<p>도움이 되셨기를 바랍니다. 감사합니다^^</p>", "<br>빠른 쾌유를 빕니다.", "")
_NOTICE = (
    "<br>답변을 참고하시기 전에<br>1. 온라인 상에서의 답변은 제한적인 정보에 따른 견해로 법적인 책임이 없는 참고 정보로만 고려해주세요."
    "<br>2. 정확한 의학적 검진과 판단은 가까운 병원에 방문하셔서 전문의에게 들으시기 바랍니다."
)
ROBOTS = "User-agent: *\nDisallow: /healthqna/private\nDisallow: /healthqna/calendar\n"
# Number modulo something, so that every trap is there in every long enough list.
_DELETED_NUMBER, _EMOJI, _TITLE_ONLY, _SAME, _CP949 = 13, 11, 17, 19, 6


@cache
def questions(bulk: int = 0) -> Sequence[Question]:
    """The corpus; after it as many more as `bulk` says, which repeat it under their own numbers."""
    own = korean()
    more = (replace(own[index % len(own)], number=len(own) + 1 + index, department="BULK") for index in range(bulk))
    return (*own, *more)


def identity(question: Question) -> str:
    """The question's id in addresses."""
    return f"C{_FIRST + question.number:010d}"


def answers(question: Question) -> int:
    """How many doctors answer it: two at every fifth."""
    return 2 if question.number % 5 == 0 and question.department != "BULK" else 1


def page(request: Request, bulk: int) -> Answer | None:
    """The answer to a request, or None for a page that is not there."""
    mobile = request.host.startswith("mobile.")
    if request.path.endswith("/list") and request.path.startswith("/healthqna"):
        return _list(request, bulk, mobile)
    if request.path == "/integratesearch/searchhealthqnalist":
        return _search(request)
    if "/calendar" in request.path:
        month = int(request.query.get("month", "1"))
        return Answer(f'<title>달력</title><a href="/healthqna/calendar?month={month + 1}">다음 달</a>')
    number = request.path.rpartition("/")[2]
    found = (
        next((each for each in questions(bulk) if identity(each) == number), None) if "/view/" in request.path else None
    )
    if found is None:
        return None
    return Answer(_mobile(found)) if mobile else detail(found)


@cache
def _by_identity(bulk: int) -> dict[str, Question]:
    return {identity(each): each for each in questions(bulk)}


def detail(question: Question) -> Answer:
    """A question's page. Every sixth is in CP949, and only its <meta> says so."""
    html = _detail(question)
    if question.number % _CP949 or question.number % _EMOJI == 0:
        return Answer(html)
    html = html.replace(
        '<meta charset="utf-8">', '<meta http-equiv="Content-Type" content="text/html; charset=euc-kr">'
    )
    return Answer(html.encode("cp949", "xmlcharrefreplace"), headers={"Content-Type": "text/html"})


def _listed(request: Request, bulk: int) -> list[Question]:
    code = request.query.get("code", "")
    every = questions(bulk)
    if code == "CALENDAR":  # an endless list: every page shows the same cards and leads on
        return list(every[:_PER_PAGE])
    return [
        each
        for each in every
        if each.department == (code or each.department) and (code == "BULK") == (each.department == "BULK")
    ]


def _list(request: Request, bulk: int, mobile: bool) -> Answer:
    current, code = int(request.query.get("page", "1")), request.query.get("code", "")
    cards = [(each, doctor) for each in _listed(request, bulk) for doctor in range(answers(each))]
    shown = cards if code == "CALENDAR" else cards[(current - 1) * _PER_PAGE : current * _PER_PAGE]
    last = 10**6 if code == "CALENDAR" else -(-len(cards) // _PER_PAGE)
    if mobile:
        links = "".join(f'<a href="view/{identity(each)}">{escape(each.title)}</a>' for each, _ in shown)
        return Answer(_whole("목록", f'<section class="contents">{links}</section>'))
    summary = f'<div class="tit_summary"><strong>{DEPARTMENTS.get(code, "전체")} {len(cards):,}</strong></div>'
    body = "".join(_card(each, doctor) for each, doctor in shown)
    paging = "".join(_paging(request.path, code, current, last))
    clinic = f'<strong class="part"><span class="txt_clinic">{DEPARTMENTS.get(code, "전체")}</span></strong>'
    html = f'<div class="health_consult_clinic">{clinic}</div><div class="container_inner clear_g">{summary}{body}'
    return Answer(_whole("건강 Q&amp;A", f'{html}<div class="paging_type1">{paging}</div></div>'))


def _paging(path: str, code: str, current: int, last: int) -> Iterator[str]:
    """Pages of the current block of ten, then the next block."""
    first = (current - 1) // 10 * 10 + 1
    for number in range(first, min(first + 9, last) + 1):
        yield f'<a href="{path}?code={code}&amp;page={number}" class="num_page">{number}</a>'
    if first + 10 <= last:
        yield f'<a href="{path}?code={code}&amp;page={first + 10}" class="ico_comm btn_next" title="다음">다음</a>'


def _card(question: Question, doctor: int) -> str:
    when = "11시간전" if question.number == 1 else _date(question)
    name = DOCTORS[(question.number + doctor) % len(DOCTORS)]
    link = f"view/{identity(question)}"
    return (
        f'<div class="box_type1 qna_main"><div class="main_head"><a href="{link}"><strong class="tit_qna">{escape(_title(question))}'
        f'</strong></a></div><div class="main_body"><div class="doctor_info"><div class="info_desc"><p><a href="/find/doctor/default/U0000{doctor:06d}"'
        f' class="link_doctor">{name} 전문의</a> 답변입니다.</p><span class="txt_clinic">모의의원</span></div><span class="txt_time">{when}</span></div>'
        f'<div class="cont"><a href="{link}"><p class="desc">{escape(question.answer[:40])}…</p></a></div></div></div>'
    )


def _search(request: Request) -> Answer:
    found = [each for each in korean() if request.query.get("query", "") in each.title + each.body]
    current = int(request.query.get("page", "1"))
    shown = found[(current - 1) * 20 : current * 20]
    items = "".join(f'<li><a href="/healthqna/view/{identity(each)}">{escape(each.title)}</a></li>' for each in shown)
    total = f'<div class="coll_keyword"><strong class="fc_blue">검색</strong><strong class="fc_blue">{len(found)}</strong></div>'
    return Answer(_whole("검색", f'{total}<ul class="list_qna">{items}</ul>'))


def _date(question: Question) -> str:
    return f"2026.0{1 + question.number % 6}.{1 + question.number % 28:02d}"


def _title(question: Question) -> str:
    return _DELETED if question.number == _DELETED_NUMBER else question.title


def _body(question: Question) -> str:
    if question.number == _DELETED_NUMBER:
        return _DELETED
    if question.number % _TITLE_ONLY == 0:
        return ""
    if question.number % _SAME == 0:
        return escape(question.title)
    emoji = " 너무 힘들어요 😢🙏" if question.number % _EMOJI == 0 else " ㅠㅠ" if question.number % 7 == 0 else ""
    first, dot, rest = (escape(question.body) + emoji).partition(". ")
    return f"<p>{first}{dot}<br>{rest}</p>"


def _detail(question: Question) -> str:
    tags = f'<a href="/healthqna/list?code=HG002">{DEPARTMENTS.get(question.department, "모의")}</a>'
    asked = (
        f'<div class="box_type1 view_question"><div class="inner"><strong class="tit">{escape(_title(question))}</strong><div class="user_info">'
        f'<span class="txt_time">{"" if question.number % 3 == 0 else _date(question)}</span></div><div class="txt_tag">SMART TAG :<span class="tag_desc">'
        f'{tags}</span></div><div class="desc">{_body(question)}</div></div></div>'
    )
    boxes = "".join(_answer(question, doctor) for doctor in range(answers(question)))
    heading = f'<div class="box_type1 clear_g answer_tit"><strong class="tit_answer">Re : {escape(_title(question))}</strong></div>'
    return _whole(
        escape(_title(question)),
        f'<div id="hidocBody"><div class="health_view">{asked}<div class="view_answer">{heading}{boxes}</div></div></div>',
    )


def _answer(question: Question, doctor: int) -> str:
    name = DOCTORS[(question.number + doctor) % len(DOCTORS)]
    thanks = '<div class="message"><div class="message_inner"><p class="desc">질문자의 감사 인사 정말 감사합니다 선생님</p></div></div>'
    return (
        f'<div class="box_type1 hidoc_answer"><div class="answer_head"><div class="doctor_clinic"><a href="/find/doctor/default/U0000{doctor:06d}" '
        f'class="link_doctor">{name}[전문의]</a><span class="txt_clinic">모의의원</span></div><div class="recomm_count"><dl><dt>이 답변에 동의한 전문가</dt>'
        f'<dd class="fc_green">1명</dd></dl></div><span class="txt_time">{_date(question) if question.number % 2 else ""}</span></div>'
        f'<div class="answer_body">{thanks if question.number % 4 == 0 else ""}<div class="cont"><div class="desc">{_written(question, doctor, name)}</div>'
        f'<form class="answerForm"><input type="hidden" class="cid" value="C{_FIRST_ANSWER + question.number * 10 + doctor:010d}">'
        f'<input class="hiddenRegMemberUid" value="U0000{doctor:06d}"><input class="hiddenAnswerName" value="{name}"></form></div></div></div>'
    )


def _written(question: Question, doctor: int, name: str) -> str:
    """The answer with its greeting, closing and the editor's debris; a second doctor agrees in other words."""
    clinic = DEPARTMENTS.get(question.department, "가정의학과")
    opening = _OPENINGS[(question.number + doctor) % len(_OPENINGS)].format(clinic=clinic, doctor=name)
    text = escape(question.answer)
    if doctor:
        text = f"앞선 답변에 동의합니다. 덧붙이면 증상이 계속될 때는 {clinic}에서 직접 진찰을 받으시는 것이 가장 정확합니다. {text.rpartition('. ')[2]}"
    if question.number % 7 == 0:
        text = f"<!StartFragment>{text}<o:p></o:p><!EndFragment>"
    return opening + text + (_NOTICE if question.number % 20 == 0 else "") + _CLOSINGS[question.number % len(_CLOSINGS)]


def _mobile(question: Question) -> str:
    boxes = "".join(
        f'<strong class="link_doctor">{DOCTORS[(question.number + doctor) % len(DOCTORS)]} 전문의</strong><span class="txt_clinic">모의의원</span>'
        f'<div class="desc">{_written(question, doctor, DOCTORS[(question.number + doctor) % len(DOCTORS)])}</div>'
        for doctor in range(answers(question))
    )
    heading = f'<strong class="tit_qna">{escape(_title(question))}<div class="qna_info">조회 12</div></strong>'
    return _whole(
        "모바일",
        f'<span class="date">{_date(question)}</span>{heading}<div class="desc">{_body(question)}</div>{boxes}',
    )


def _whole(title: str, body: str) -> str:
    return f'<!DOCTYPE html><html lang="ko"><head><meta charset="utf-8"><title>{title}</title></head><body>{body}</body></html>'

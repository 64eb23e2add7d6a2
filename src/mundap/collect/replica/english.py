"""The English sites, each with its own share of the questions, its greeting, its tail and its deleted posts."""

# ruff: noqa: E501  (pages stand on long lines)

from __future__ import annotations

from collections.abc import Callable
from html import escape

from mundap.collect.replica.content import ENGLISH_DOCTORS, Question, english
from mundap.collect.replica.wire import Answer, Request

_PER_PAGE = 12
ROBOTS = "User-agent: *\nDisallow: /private\nCrawl-delay: 0\n"


def page(request: Request, site: str) -> Answer | None:
    """The answer to a request on one of the sites, or None for a page that is not there."""
    path, show = _SITES[site]
    found = next((each for each in english(site) if path(each) == request.path), None)
    if found is not None:
        return Answer(_whole(found.title, show(found)))
    if request.path.endswith(_LISTS[site]) or request.path.startswith(("/topics/", "/qa/specialities/")):
        return _list(request, site)
    return None


def _list(request: Request, site: str) -> Answer:
    group = request.path.rpartition("/")[2] if "/topics/" in request.path or "/specialities/" in request.path else ""
    shown = [
        each for each in english(site) if group in ("", each.topic.replace(" ", "-"), each.department.replace(" ", "-"))
    ]
    current = _forum_page(request.path) if site == "ehealthforum" else int(request.query.get("page", "1"))
    mark = {"icliniq": 'class="biglink"' if group else "", "healthtap": 'class="question"'}.get(site, "")
    rows = [
        f'<a {mark} href="{_SITES[site][0](each)}">{escape(each.title)}</a>'
        for each in shown[(current - 1) * _PER_PAGE : current * _PER_PAGE]
    ]
    wrapped = "".join(
        f'<div class="card-title">{row}</div>' if site == "icliniq" and not group else row for row in rows
    )
    return Answer(_whole("Questions", wrapped or '<div class="empty">No more questions</div>'))


def _forum_page(path: str) -> int:
    return int(path.removesuffix(".html").split("_")[-3]) // 25 + 1


def _name(question: Question) -> str:
    return ENGLISH_DOCTORS[question.number % len(ENGLISH_DOCTORS)]


def _icliniq(question: Question) -> str:
    tail = f"For further information consult a {question.department} online --&gt; https://www.icliniq.com/ask-a-doctor-online/{question.department.replace(' ', '-')}"
    paragraphs = f"<p>Hello, Welcome to icliniq.com.</p><p>{escape(question.answer)}</p>" + (
        f"<p>{tail}</p>" if question.number % 5 else ""
    )
    return (
        f'<h1 class="article-details-heading">{escape(question.title)}</h1><div class="alert alert-default border corner qContent">Hello doctor, '
        f'{escape(question.body)}</div><div class="answeredBy">{_name(question)}</div><div class="ansExtCon">{paragraphs}</div>'
    )


def _healthcaremagic(question: Question) -> str:
    user = '<div class="answerWrapper"><div class="userResponse"><div class="paragraph">I had the same, it went away.</div></div></div>'
    return (
        f'<div class="questionDivWrapper"><h1 class="OrangeH1">{escape(question.title)}</h1><div class="postQuestion"><div class="paragraph">{escape(question.body)}</div>'
        f'<span class="greyText">Posted on <b>Mon, {1 + question.number % 28} Mar 2021</b></span></div></div><div class="answerWrapper"><div class="doctorResponse">'
        f'<span class="lightBlue"><a href="/doctors/x">{_name(question)}</a></span><div class="paragraph">Hi, Welcome to Health Care Magic.<br>{escape(question.answer)}'
        f'<br>Hope I have answered your query. Take care. Regards, {_name(question)}</div><div class="postedText">Answered: Tue, 2 Mar 2021</div></div></div>'
        f"{user if question.number % 6 == 0 else ''}"
    )


def _healthtap(question: Question) -> str:
    if question.number % 2:
        return (
            f'<h1 class="question-header"><a href="#">{escape(question.body)}</a></h1><div class="answer-section"><a class="author-header">{_name(question)}</a>'
            f'<div class="answer-body"><b>{escape(question.title)}:</b> {escape(question.answer)}</div></div>'
        )
    return (
        f'<div class="question-text"><h1>{escape(question.body)}</h1></div><div class="question-container"><div class="no-my-question-content"><h2>{escape(question.title)}</h2>'
        f'<div class="answer_text">{escape(question.answer)}</div></div><div class="doctor-info">{_name(question)}</div></div>'
    )


def _ehealthforum(question: Question) -> str:
    removed = '<div style="padding-left:50px"><div class="vt_post_body">This post has been removed</div></div>'
    nested = '<div style="padding-left:50px"><div style="padding-left:50px"><div class="vt_post_body">Thank you so much, that helps!</div></div></div>'
    return (
        f'<div class="vt_asked_by_user"><a href="/u">user{question.number}</a></div><span class="vt_first_timestamp">April {1 + question.number % 28}th, 2012</span>'
        f'<div class="vt_message_subject">{escape(question.title)}</div><div class="vt_post_body">{escape(question.body)}</div>'
        f'<div style="padding-left:50px"><div class="vt_post_body">Hello and thanks for your question. {escape(question.answer)} Best wishes, {_name(question)}</div></div>'
        f"{nested if question.number % 3 == 0 else ''}{removed if question.number % 8 == 0 else ''}"
    )


def _whole(title: str, body: str) -> str:
    return f"<!DOCTYPE html><html><head><meta charset='utf-8'><title>{escape(title)}</title></head><body>{body}</body></html>"


_SITES: dict[str, tuple[Callable[[Question], str], Callable[[Question], str]]] = {
    "icliniq": (lambda each: f"/qa/{each.department.replace(' ', '-')}/{each.slug}", _icliniq),
    "healthcaremagic": (lambda each: f"/questions/{each.slug}/{100000 + each.number}", _healthcaremagic),
    "healthtap": (lambda each: f"/user_questions/{200000 + each.number}-{each.slug}", _healthtap),
    "ehealthforum": (lambda each: f"/health/{each.slug}-t{300000 + each.number}.html", _ehealthforum),
}
_LISTS = {
    "icliniq": "/qa", "healthcaremagic": "/questions", "healthtap": "/marketing/recent", "ehealthforum": "_25.html",
}  # fmt: skip

"""The page: what is on it and where. What it does is in `web_events` and `web_wire`, its words in `texts.yaml`."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any

import gradio as gr  # noqa: TID253 - the page itself; app.py imports it only when a page is served
from fastapi import FastAPI

from mundap.serve import render
from mundap.serve.schema import MESSAGE_CHARS
from mundap.serve.stream import Desk, where
from mundap.serve.texts import LANGS, asset, texts
from mundap.serve.web_events import NOBODY, person_choices
from mundap.serve.web_wire import wire
from mundap.types import Lang

log = logging.getLogger("mundap.serve")

Words = dict[str, Any]
Parts = dict[str, Any]

# Where the browser keeps things. The word is not a secret: it only keeps Gradio from inventing a new one, and so
# from losing what was stored, at every start.
STORE = "mundap"

# Per component, the properties that hold words. The layout is built from this table, and so is the language switch.
WORDS: dict[str, Callable[[Words], dict[str, Any]]] = {
    "lang": lambda t: {"label": t["language_label"]},
    "theme": lambda t: {"value": "◐"},
    "chat": lambda t: {
        "label": t["chat_label"],
        "placeholder": t["welcome"],
        "watermark": t["watermark"],
        "examples": [{"text": text} for text in t["examples"]],
    },
    "ask": lambda t: {"label": t["ask_label"], "placeholder": t["ask_placeholder"]},
    "send": lambda t: {"value": t["send"]},
    "stop": lambda t: {"value": t["stop"]},
    "new": lambda t: {"value": t["new_chat"]},
    "export": lambda t: {"value": t["export"]},
    "sources_box": lambda t: {"label": t["sources"]},
    "settings_box": lambda t: {"label": t["settings"]},
    "model": lambda t: {"label": t["model"], "info": t["model_info"]},
    "person": lambda t: {"label": t["profile"], "info": t["profile_info"]},
    "new_person": lambda t: {"label": t["person_new"], "placeholder": t["person_new_placeholder"]},
    "add_person": lambda t: {"value": t["person_add"]},
    "age": lambda t: {"label": t["age"]},
    "sex": lambda t: {"label": t["sex"], "choices": [(label, key) for key, label in t["sexes"].items()]},
    "weeks": lambda t: {"label": t["pregnant_weeks"], "info": t["pregnant_info"]},
    "nursing": lambda t: {"label": t["breastfeeding"]},
    "conditions": lambda t: {"label": t["conditions"], "placeholder": t["list_placeholder"]},
    "medicines": lambda t: {"label": t["medicines"], "placeholder": t["list_placeholder"]},
    "allergies": lambda t: {"label": t["allergies"], "placeholder": t["list_placeholder"]},
    "consent": lambda t: {"label": t["consent"]},
    "save": lambda t: {"value": t["save"]},
    "delete": lambda t: {"value": t["delete"]},
    "reasons": lambda t: {"label": t["reason_label"], "choices": [(v, k) for k, v in t["reasons"].items()]},
    "comment": lambda t: {"label": t["comment"], "placeholder": t["comment_placeholder"]},
    "rate": lambda t: {"value": t["feedback_save"]},
    "close": lambda t: {"value": t["feedback_cancel"]},
    "forget": lambda t: {"value": t["feedback_clear"]},
}
START: Lang = "ko"


def mount(app: FastAPI, desk: Desk) -> None:
    """Put the page at `/` of `app`, hardened: no uploads, no files, no API description, no history, no sharing."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        # Outside of an event loop Gradio makes one for every lock it creates, and never closes it.
        asyncio.run(_mount_inside(app, desk))
    else:
        _mount(app, desk)


async def _mount_inside(app: FastAPI, desk: Desk) -> None:
    _mount(app, desk)


class _QuietTraceback:
    """Stands in for `traceback` where Gradio prints one: its text can quote what a patient wrote."""

    @staticmethod
    def print_exc() -> None:
        """Log the type and the place of the error in hand, and nothing else."""
        error = sys.exception()
        if error is not None:
            log.error("page event failed: %s", where(error))


def _mount(app: FastAPI, desk: Desk) -> None:
    # Gradio has no setting for this: an error in an event is printed whole, inputs included.
    gr.queueing.traceback = gr.route_utils.traceback = _QuietTraceback
    blocks = build(desk)
    gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        server_name="127.0.0.1",
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        show_error=False,
        max_file_size="1kb",
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        css=_css(),
        head=_head(),
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
    )


def build(desk: Desk) -> gr.Blocks:
    """The page over the engines of `desk`."""
    with gr.Blocks(title=texts(START)["page_title"], analytics_enabled=False, fill_width=True) as blocks:
        parts = _stores()
        _top(parts)
        with gr.Row(elem_id="body"):
            with gr.Column(elem_id="talk", scale=1):
                _talk(parts)
            with gr.Column(elem_id="side", scale=0):
                _side(parts, desk)
        parts["footer"] = _html(render.footer(START), elem_id="footer")
        wire(blocks, parts, desk, WORDS)
    blocks.queue(max_size=64, default_concurrency_limit=64, api_open=False)
    return blocks


def words(name: str, lang: Lang = START) -> dict[str, Any]:
    """The properties of a component that hold words, in `lang`."""
    return WORDS[name](texts(lang))


def _html(value: str, elem_id: str) -> gr.Markdown:
    # `gr.HTML` compiles a template in the browser, which needs `unsafe-eval`. `gr.Markdown` passes HTML through.
    # Everything in it was escaped in `render`, so the sanitizer, which drops `tel:` links and roles, is off.
    return gr.Markdown(value, elem_id=elem_id, sanitize_html=False, latex_delimiters=[], container=False)


def _stores() -> Parts:
    """What the browser keeps, and what a session keeps while it is open."""
    return {
        "lang_store": gr.BrowserState(START, storage_key="mundap-lang", secret=STORE),
        "people": gr.BrowserState({"active": NOBODY, "people": {}}, storage_key="mundap-people", secret=STORE),
        "votes": gr.BrowserState([], storage_key="mundap-feedback", secret=STORE),
        "notes": gr.State([]),
        "pending": gr.State({}),
    }


def _top(parts: Parts) -> None:
    with gr.Row(elem_id="top"):
        parts["brand"] = _html(render.brand(START), elem_id="brand")
        parts["lang"] = gr.Radio(
            [("한국어", "ko"), ("English", "en")],
            value=START,
            show_label=False,
            container=False,
            elem_id="lang",
            **words("lang"),
        )
        parts["theme"] = gr.Button(elem_id="theme", size="sm", variant="secondary", **words("theme"))
    parts["notice"] = _html(render.notice(START), elem_id="notice")


def _talk(parts: Parts) -> None:
    parts["chat"] = gr.Chatbot(
        elem_id="chat",
        height="100%",
        editable="user",
        buttons=["copy"],
        layout="bubble",
        show_label=False,
        container=False,
        sanitize_html=True,
        autoscroll=False,
        allow_tags=False,
        latex_delimiters=[],
        allow_file_downloads=False,
        group_consecutive_messages=False,
        feedback_options=("Like", "Dislike"),
        **words("chat"),
    )
    parts["card"] = _html("", elem_id="card")
    parts["status"] = _html(render.say(""), elem_id="status")
    _feedback(parts)
    with gr.Row(elem_id="composer"):
        parts["ask"] = gr.Textbox(
            elem_id="ask",
            lines=1,
            max_lines=6,
            max_length=MESSAGE_CHARS,
            show_label=False,
            container=False,
            autofocus=True,
            scale=1,
            **words("ask"),
        )
        parts["send"] = gr.Button(elem_id="send", variant="primary", scale=0, min_width=76, **words("send"))
        parts["stop"] = gr.Button(elem_id="stop", variant="stop", scale=0, min_width=76, visible=False, **words("stop"))
    with gr.Row(elem_id="tools"):
        parts["new"] = gr.Button(elem_id="new", size="sm", variant="secondary", scale=0, **words("new"))
        parts["export"] = gr.Button(elem_id="export", size="sm", variant="secondary", scale=0, **words("export"))
    parts["file"] = _html("", elem_id="file")


def _feedback(parts: Parts) -> None:
    with gr.Column(visible=False, elem_id="feedback") as parts["feedback"]:
        parts["feedback_title"] = _html("", elem_id="feedback-title")
        parts["reasons"] = gr.CheckboxGroup(elem_id="reasons", show_label=False, container=False, **words("reasons"))
        parts["comment"] = gr.Textbox(
            elem_id="comment",
            lines=1,
            max_lines=3,
            max_length=1000,
            show_label=False,
            container=False,
            **words("comment"),
        )
        with gr.Row():
            parts["rate"] = gr.Button(elem_id="rate", size="sm", variant="primary", **words("rate"))
            parts["close"] = gr.Button(elem_id="close", size="sm", variant="secondary", **words("close"))


def _side(parts: Parts, desk: Desk) -> None:
    with gr.Accordion(open=True, elem_id="sources", **words("sources_box")) as parts["sources_box"]:
        parts["sources"] = _html(render.sources(None, START), elem_id="source-list")
    with gr.Accordion(open=False, elem_id="settings", **words("settings_box")) as parts["settings_box"]:
        _people(parts)
        names = desk.engines.names()
        parts["model"] = gr.Radio(
            [(desk.engines.label(name, START), name) for name in names],
            value=names[0],
            elem_id="model",
            **words("model"),
        )
        parts["vote_count"] = _html("", elem_id="vote-count")
        parts["forget"] = gr.Button(elem_id="forget", size="sm", variant="secondary", visible=False, **words("forget"))


def _people(parts: Parts) -> None:
    parts["person"] = gr.Radio(person_choices(None, START), value=NOBODY, elem_id="person", **words("person"))
    with gr.Row(elem_id="add-person"):
        parts["new_person"] = gr.Textbox(
            elem_id="new-person", max_length=20, scale=1, min_width=100, **words("new_person")
        )
        parts["add_person"] = gr.Button(
            elem_id="add", size="sm", variant="secondary", scale=0, min_width=60, **words("add_person")
        )
    parts["person_status"] = _html(render.say(""), elem_id="person-status")
    with gr.Column(visible=False, elem_id="form") as parts["form"]:
        with gr.Row():
            parts["age"] = gr.Number(
                elem_id="age", minimum=0, maximum=130, precision=0, value=None, min_width=90, **words("age")
            )
            parts["weeks"] = gr.Number(
                elem_id="weeks", minimum=0, maximum=45, precision=0, value=None, min_width=90, **words("weeks")
            )
        parts["sex"] = gr.Radio(value=NOBODY, elem_id="sex", **words("sex"))
        parts["nursing"] = gr.Checkbox(elem_id="nursing", **words("nursing"))
        for name in ("conditions", "medicines", "allergies"):
            parts[name] = gr.Textbox(elem_id=name, max_length=1000, **words(name))
        parts["consent"] = gr.Checkbox(value=False, elem_id="consent", **words("consent"))
        with gr.Row():
            parts["save"] = gr.Button(elem_id="save", size="sm", variant="primary", **words("save"))
            parts["delete"] = gr.Button(elem_id="delete", size="sm", variant="secondary", **words("delete"))


def theme() -> gr.themes.Base:
    """Calm teal on ivory, and a soft dark for the night. System fonts only: nothing is fetched from another site."""
    font = [
        "Pretendard",
        "Apple SD Gothic Neo",
        "Malgun Gothic",
        "Noto Sans KR",
        "Noto Sans CJK KR",
        "system-ui",
        "sans-serif",
    ]
    plain = gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_lg,
        text_size=gr.themes.sizes.text_md,
        font=font,
        font_mono=["monospace"],
    )
    return plain.set(
        body_background_fill="#faf7f0",
        body_background_fill_dark="#14191a",
        background_fill_primary="#fffdf9",
        background_fill_primary_dark="#1b2223",
        background_fill_secondary="#f4efe5",
        background_fill_secondary_dark="#202829",
        block_background_fill="#fffdf9",
        block_background_fill_dark="#1b2223",
        body_text_color="#21302f",
        body_text_color_dark="#e4e9e6",
        body_text_color_subdued="#5b6866",
        body_text_color_subdued_dark="#a3b0ad",
        border_color_primary="#e2dac9",
        border_color_primary_dark="#334041",
        block_border_color="#e2dac9",
        block_border_color_dark="#334041",
        button_primary_background_fill="#0f6b63",
        button_primary_background_fill_hover="#0b554f",
        button_primary_background_fill_dark="#4fb8ab",
        button_primary_background_fill_hover_dark="#6bcabe",
        button_secondary_background_fill="#f0eadd",
        button_secondary_background_fill_hover="#e7dfcd",
        button_secondary_background_fill_dark="#263031",
        button_secondary_background_fill_hover_dark="#324041",
        checkbox_label_background_fill="#f6f1e7",
        checkbox_label_background_fill_hover="#efe8d9",
        checkbox_label_background_fill_dark="#222b2c",
        checkbox_label_background_fill_hover_dark="#2c3738",
        checkbox_label_background_fill_selected="#cfe8e2",
        checkbox_label_background_fill_selected_dark="#1f4a45",
        checkbox_background_color_selected="#0f6b63",
        checkbox_background_color_selected_dark="#4fb8ab",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#0d1a19",
        input_placeholder_color="#6b7775",
        input_placeholder_color_dark="#93a19e",
        input_background_fill="#ffffff",
        input_background_fill_dark="#182021",
        color_accent_soft="#dcefeb",
        color_accent_soft_dark="#1f3b39",
    )


def _css() -> str:
    # The tag over each answer is text made by CSS, so that it can follow the language without a new message.
    tags = "".join(f'html[lang="{lang}"]{{--ai-tag:"{texts(lang)["ai_tag"]}"}}' for lang in LANGS)
    return f"{tags}\n{asset('page.css')}"


def _head() -> str:
    return '<script src="page.js" defer></script><meta name="color-scheme" content="light dark">'

"""What `/v1/chat/completions` takes: OpenAI's fields and the extension key `mundap`."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from mundap.types import Lang, Message, Profile

MESSAGE_CHARS = 4000
TURNS = 20
STOPS = 4


def _plain(text: str) -> str:
    # One line each: what a person lists about themselves must not look like a new message to a model.
    return " ".join(text.split())


Item = Annotated[str, Field(max_length=100), AfterValidator(_plain)]
Items = Annotated[list[Item], Field(max_length=20)]


class ProfileIn(BaseModel):
    """About whoever the question is for. Everything is optional; nothing is stored."""

    model_config = ConfigDict(extra="forbid")

    age: int | None = Field(None, ge=0, le=130)
    sex: Literal["female", "male"] | None = None
    pregnant_weeks: int | None = Field(None, ge=0, le=45)
    breastfeeding: bool = False
    conditions: Items = []
    medicines: Items = []
    allergies: Items = []

    def profile(self) -> Profile:
        """The same as the record that engines take."""
        lists = {name: tuple(filter(None, getattr(self, name))) for name in ("conditions", "medicines", "allergies")}
        return Profile(self.age, self.sex, self.pregnant_weeks, self.breastfeeding, **lists)


class Extension(BaseModel):
    """The request's `mundap` key. Unknown fields are errors, so that a misspelt profile is never silently ignored."""

    model_config = ConfigDict(extra="forbid")

    profile: ProfileIn | None = None
    lang: Lang | None = None


class TextPart(BaseModel):
    """One part of a message. Only text is understood."""

    type: Literal["text"]
    text: str


class MessageIn(BaseModel):
    """One message. `system` and `developer` may set a style; they never lower safety."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        """The content as one string."""
        parts = self.content
        return parts if isinstance(parts, str) else "\n".join(part.text for part in parts)

    @model_validator(mode="after")
    def _short(self) -> MessageIn:
        if self.role != "assistant" and len(self.text) > MESSAGE_CHARS:
            raise ValueError(f"message_too_long: a message may have up to {MESSAGE_CHARS:,} characters")
        return self

    def message(self) -> Message:
        """The same as the record that engines take."""
        return Message("system" if self.role == "developer" else self.role, self.text)


class StreamOptions(BaseModel):
    """OpenAI's `stream_options`."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """A chat completion request. Sampling fields reach the model, if one writes; what cannot be done is refused, not ignored."""

    model: str | None = None
    messages: list[MessageIn] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    seed: int | None = None
    repetition_penalty: float | None = Field(None, ge=1, le=2, allow_inf_nan=False)
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    stop: str | list[str] | None = None
    n: int | None = None
    tools: list[Any] | None = None
    mundap: Extension = Extension()

    @model_validator(mode="before")
    @classmethod
    def _unicode(cls, data: Any) -> Any:
        # JSON can hold half of a character, which no answer, log or model could be given.
        try:
            json.dumps(data if isinstance(data, dict) else None, ensure_ascii=False).encode()
        except (UnicodeEncodeError, RecursionError):
            raise ValueError("body: it is nested too deeply or holds half of a Unicode character") from None
        return data

    @field_validator("stop")
    @classmethod
    def _stops(cls, stop: str | list[str] | None) -> list[str]:
        stops = [stop] if isinstance(stop, str) else list(stop or ())
        if len(stops) > STOPS or not all(stops):
            raise ValueError(f"stop takes up to {STOPS} strings, none of them empty")
        return stops

    @model_validator(mode="after")
    def _whole(self) -> ChatRequest:
        if self.n not in (None, 1):
            raise ValueError("n: only 1 is possible")
        if self.tools:
            raise ValueError("tools: not possible here")
        for name in ("presence_penalty", "frequency_penalty", "logit_bias", "logprobs"):
            if getattr(self, name):
                raise ValueError(f"{name}: not possible here; leave it out")
        spoken = [message for message in self.messages if message.role in ("user", "assistant")]
        if sum(message.role == "user" for message in spoken) > TURNS or len(spoken) > 2 * TURNS:
            raise ValueError(f"history_too_long: a conversation may have up to {TURNS} turns")
        if self.messages[-1].role != "user" or not self.messages[-1].text.strip():
            raise ValueError("messages: the last one must be the user's, and not empty")
        return self

    @property
    def sampling(self) -> tuple[tuple[str, float], ...]:
        """The sampling fields that were given, by the names of `mundap.types.Options`."""
        given = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "repeat_penalty": self.repetition_penalty,
        }
        return tuple((name, value) for name, value in given.items() if value is not None)

    @property
    def limit(self) -> int | None:
        """The most tokens to give, whichever name the client uses for it."""
        return self.max_completion_tokens or self.max_tokens

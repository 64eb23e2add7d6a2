"""Whether a value that looks like a number of a person really is one: checksums, dates, shapes, stop lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from mundap.safety import privacy_data

_NOT_DIGIT = re.compile(r"\D")


def _digits(value: str) -> str:
    return _NOT_DIGIT.sub("", value)


def birth(value: str) -> bool:
    """Whether the first six digits are a month and a day after a year: 900101, not 901301."""
    digits = _digits(value)
    return len(digits) >= 6 and 1 <= int(digits[2:4]) <= 12 and 1 <= int(digits[4:6]) <= 31


def resident(value: str) -> bool:
    """A 13-digit run without a hyphen: a date and the checksum of numbers issued before October 2020, or a masked tail.

    Newer numbers carry no checksum; without a hyphen or a word beside them they look like any barcode.
    """
    digits = _digits(value)
    if not birth(value) or len(digits) < 13:
        return birth(value) and len(digits) == 7
    total = sum(
        int(digit) * weight for digit, weight in zip(digits, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5), strict=False)
    )
    return (11 - total % 11) % 10 == int(digits[12])


def luhn(value: str) -> bool:
    """The check digit of payment cards."""
    digits = [int(digit) for digit in reversed(_digits(value))]
    doubled = sum(digit if place % 2 == 0 else sum(divmod(digit * 2, 10)) for place, digit in enumerate(digits))
    return len(digits) >= 13 and doubled % 10 == 0 and len(set(digits)) > 1


def business(value: str) -> bool:
    """The check digit of Korean business registration numbers."""
    digits = [int(digit) for digit in _digits(value)]
    if len(digits) != 10:
        return False
    total = sum(digit * weight for digit, weight in zip(digits, (1, 3, 7, 1, 3, 7, 1, 3, 5), strict=False))
    return (10 - (total + digits[8] * 5 // 10) % 10) % 10 == digits[9]


def account(value: str) -> bool:
    """10 to 16 digits that are not a mobile telephone number or a date."""
    digits = _digits(value)
    mobile = re.fullmatch(r"01[016789]\d{7,8}", digits)
    dated = re.match(r"(?:19|20)\d{2}[- ](?:0?[1-9]|1[0-2])[- ]", value)
    return 10 <= len(digits) <= 16 and not mobile and not dated


def phone(value: str) -> bool:
    """Not a public help line."""
    return _digits(value) not in privacy_data.public_numbers()


def abroad(value: str) -> bool:
    """An international number has 9 to 15 digits."""
    return 9 <= len(_digits(value)) <= 15


def handle(value: str) -> bool:
    """An account's name, not a word or a laboratory value that follows the service's name."""
    return value.lower().lstrip("@") not in privacy_data.words("not_handles")


def place(value: str) -> bool:
    """More than a city or district: it names a town, a road or a building as well."""
    rest = privacy_data.places("sido", "area").sub(" ", value).strip(" ,()")
    return bool(rest) and (
        any(letter.isdigit() for letter in rest) or rest.endswith(("동", "읍", "면", "리", "로", "길", "가"))
    )


def notadverb(value: str) -> bool:
    """A road's name, not an adverb on -로 before a number (경구로 3회, 추가로 10)."""
    return not privacy_data.places("notroad").match(value)


def nottown(value: str) -> bool:
    """A town's name, not a noun on -동 or -리."""
    return not privacy_data.places("nottown").match(value)


def hospital(value: str) -> bool:
    """A hospital's own name, not a kind of hospital (대학병원, 동네의원)."""
    name = privacy_data.hospital_end().sub("", value)
    return bool(name) and not privacy_data.kinds().fullmatch(name) and not privacy_data.joined().search(name)


def clinic(value: str) -> bool:
    """A practice named after its department, as 연세내과; 소화기내과 and 동네내과 are not names."""
    name = privacy_data.department_end().sub("", value)
    if len(name) < 2:
        return False
    return not privacy_data.kinds().fullmatch(name) and not privacy_data.joined().search(name)


CHECKS: Mapping[str, Callable[[str], bool]] = {
    each.__name__: each
    for each in (
        birth, resident, luhn, business, account, phone, abroad, handle, place, notadverb, nottown, hospital, clinic,
    )
}  # fmt: skip

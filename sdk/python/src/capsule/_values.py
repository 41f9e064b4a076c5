"""Values that cross the wall, as JSON without silent changes.

What has one obvious form in JSON gets it: dataclasses and named tuples become
objects, tuples lists, dates and times ISO 8601 text, enums their values, UUIDs,
decimals and paths text. All the rest is refused, with its place: NaN and infinity,
bytes, sets, keys that are not text, half characters, objects.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import uuid
from typing import Any

__all__ = ["NotExact", "decode", "encode", "is_json", "is_whole"]


class NotExact(TypeError):
    """A value that JSON cannot hold exactly."""


_DEEPEST = 100
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False).encode


def encode(value: Any, what: str = "the result") -> str:
    """JSON text of a value; ``what`` names it in the error."""
    return _encode(_plain(value, what, _DEEPEST))


def decode(text: str | bytes) -> Any:
    """The value of a JSON text."""
    return json.loads(text)


def is_json(value: Any, depth: int = _DEEPEST) -> bool:
    """Whether JSON holds the value as it is: decoded again, it is equal and of the same types."""
    kind = type(value)
    if value is None or kind is bool or kind is int:
        return True
    if kind is str:
        return is_whole(value)
    if kind is float:
        return math.isfinite(value)
    if depth == 0:
        return False
    if kind is list:
        return all(is_json(item, depth - 1) for item in value)
    if kind is dict:
        return all(
            type(key) is str and is_whole(key) and is_json(item, depth - 1) for key, item in value.items()
        )
    return False


def is_whole(text: str) -> bool:
    """Whether the text is made of characters; a lone surrogate is half of one."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(value: Any, where: str, depth: int) -> Any:
    kind = type(value)
    if value is None or kind is bool or kind is int:
        return value
    if kind is str:
        if not is_whole(value):
            raise NotExact(
                f"{where} has half a character in it: use value.encode('utf-8', 'replace').decode()"
            )
        return value
    if kind is float:
        if not math.isfinite(value):
            raise NotExact(f"{where} is {value!r}, which JSON has no word for: return None or text")
        return value
    if depth == 0:
        raise NotExact(f"{where} is nested more than {_DEEPEST} deep, or holds itself")
    if kind is dict:
        return {_key(key, where): _plain(item, f"{where}[{key!r}]", depth - 1) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [_plain(item, f"{where}[{index}]", depth - 1) for index, item in enumerate(value)]
    return _converted(value, where, depth)


def _key(key: Any, where: str) -> str:
    if type(key) is str:
        if not is_whole(key):
            raise NotExact(f"{where} has the key {key!r}, with half a character in it")
        return key
    raise NotExact(f"{where} has the key {key!r}; keys in JSON are text: use str(key)")


def _converted(value: Any, where: str, depth: int) -> Any:
    # An enum may also be an int or a str, so it comes before them.
    if isinstance(value, enum.Enum):
        return _plain(value.value, where, depth - 1)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: _plain(getattr(value, name), f"{where}.{name}", depth - 1) for name in names}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        pairs = zip(value._fields, value, strict=True)
        return {name: _plain(item, f"{where}.{name}", depth - 1) for name, item in pairs}
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, decimal.Decimal, pathlib.PurePath)):
        return str(value)
    bases: tuple[type[Any], ...] = (int, float, str, dict, list, tuple)
    for base in bases:
        if isinstance(value, base):
            return _plain(base(value), where, depth)
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise NotExact(f"{where} is bytes, which JSON cannot hold: use base64.b64encode(value).decode()")
    if isinstance(value, (set, frozenset)):
        raise NotExact(f"{where} is a set, which has no order: use sorted(value)")
    raise NotExact(f"{where} is {type(value).__name__}, which JSON cannot hold")

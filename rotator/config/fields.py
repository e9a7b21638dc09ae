"""How values are spelled in the configuration: durations, shares, names, addresses, rates, windows."""

from __future__ import annotations

import re
from datetime import time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from rotator.core.fleet import Rate
from rotator.core.identity import is_name
from rotator.core.windows import Window

_SPAN = re.compile(r"(\d{1,9})(ms|s|m|h|d)")
_UNIT = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Model(BaseModel):
    """Unknown keys are errors everywhere: a misspelt key would otherwise be a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def span(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("a duration is a number with a unit: 90s, 15m, 24h or 7d")
    return timedelta(seconds=int(found[1]) * _UNIT[found[2]])


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("a duration above zero is wanted")
    return value


def _share(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}(\.\d+)?%", value):
        value = float(value[:-1]) / 100
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("a share is 0.66 or 66%")
    return float(value)


def _name(value: str) -> str:
    if not is_name(value):
        raise ValueError("a name is 1 to 63 characters of a-z, 0-9 and inner hyphens")
    return value


def host_port(value: str) -> tuple[str, int]:
    """Splits `host:port`; ValueError for anything else. Brackets of an IPv6 address are removed."""
    host, _, port = value.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("host:port is wanted, for example 127.0.0.1:8443")
    return host.strip("[]"), int(port)


def _endpoint(value: str) -> str:
    host_port(value)
    return value


def _rate(value: object) -> object:
    if isinstance(value, Rate):
        return value
    count, _, per = value.partition("/") if isinstance(value, str) else ("", "", "")
    if not count.isascii() or not count.isdigit() or int(count) < 1 or _SPAN.fullmatch(per) is None:
        raise ValueError("a rate is requests per duration: 100/1m")
    length = span(per)
    if not isinstance(length, timedelta) or length < timedelta(seconds=1):
        raise ValueError("a rate counts per second at the shortest: 100/1s")
    return Rate(int(count), length)


def _time(value: object) -> object:
    if isinstance(value, time):
        return value
    if not isinstance(value, str) or re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value) is None:
        raise ValueError("a time of day is 22:00")
    return time.fromisoformat(value)


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("no such time zone; Europe/Berlin and UTC are examples") from None
    return value


Span = Annotated[timedelta, BeforeValidator(span), AfterValidator(_positive)]
Share = Annotated[float, BeforeValidator(_share)]
Name = Annotated[str, AfterValidator(_name)]
HostPort = Annotated[str, AfterValidator(_endpoint)]
RateField = Annotated[Rate, BeforeValidator(_rate, json_schema_input_type=str)]
TimeOfDay = Annotated[time, BeforeValidator(_time)]
Zone = Annotated[str, AfterValidator(_zone)]


class WindowModel(Model):
    """`{ days = ["mon", "tue"], start = "22:00", end = "04:00", timezone = "Europe/Berlin" }`; no days: every day."""

    days: tuple[str, ...] = _DAYS
    start: TimeOfDay
    end: TimeOfDay
    timezone: Zone = "UTC"

    def window(self) -> Window:
        """ValueError for a day that is not one of mon … sun."""
        unknown = [day for day in self.days if day not in _DAYS]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no day; they are {', '.join(_DAYS)}")
        return Window(frozenset(_DAYS.index(day) for day in self.days), self.start, self.end, self.timezone)

"""How values are spelled in the configuration: durations, shares, names, addresses, rates, windows."""

from __future__ import annotations

import ipaddress
import re
from datetime import time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from rotator.core.fleet import Rate
from rotator.core.identity import is_name
from rotator.core.windows import Window

_SPAN = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_UNIT = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 100 * 366 * 86400
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Model(BaseModel):
    """Unknown keys are errors everywhere: a misspelt key would otherwise be a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def span(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("a duration is a number with a unit: 90s, 15m, 24h or 7d")
    seconds = int(found[1]) * _UNIT[found[2]]
    if seconds > _LONGEST:
        raise ValueError("a duration of 100 years at most is wanted")
    return timedelta(seconds=seconds)


def text_of(length: timedelta) -> str:
    """As it would be written here, in the largest unit that fits: 24h is 1d, 90 s stay 90s."""
    seconds = length.total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:.6g}s"


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
    if not _is_host(host) or re.fullmatch(r"[0-9]{1,5}", port) is None or not 0 < int(port) < 65536:
        raise ValueError("host:port is wanted, for example 127.0.0.1:8443 or [::1]:8443")
    return host.strip("[]"), int(port)


def _is_host(host: str) -> bool:
    if not host.startswith("["):
        return _HOST.fullmatch(host) is not None
    try:
        return host.endswith("]") and ipaddress.IPv6Address(host[1:-1]).scope_id is None
    except ValueError:
        return False


def _endpoint(value: str) -> str:
    host_port(value)
    return value


def _rate(value: object) -> object:
    if isinstance(value, Rate):
        return value
    count, _, per = value.partition("/") if isinstance(value, str) else ("", "", "")
    if re.fullmatch(r"[1-9][0-9]{0,8}", count) is None or _SPAN.fullmatch(per) is None:
        raise ValueError("a rate is requests per duration: 100/1m")
    length = span(per)
    if not isinstance(length, timedelta) or length < timedelta(seconds=1) or length.microseconds:
        raise ValueError("a rate counts per whole seconds: 100/1s")
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


def _printable(value: str) -> str:
    if not value.isprintable() or not value.strip():
        raise ValueError("a line of 1 to 128 printable characters is wanted")
    return value


def _json(pattern: str, *also: dict[str, str]) -> WithJsonSchema:
    """As the file spells it: pydantic's own words are ISO 8601 (`PT5S`), which we would refuse."""
    text = {"type": "string", "pattern": pattern}
    return WithJsonSchema({"anyOf": [text, *also]} if also else text)


Span = Annotated[
    timedelta,
    BeforeValidator(span),
    AfterValidator(_positive),
    PlainSerializer(text_of, return_type=str, when_used="json"),
    _json(f"^{_SPAN.pattern}$"),
]
Share = Annotated[float, BeforeValidator(_share), _json(r"^\d{1,3}(\.\d+)?%$", {"type": "number"})]
Name = Annotated[str, AfterValidator(_name)]
HostPort = Annotated[str, AfterValidator(_endpoint)]
RateField = Annotated[Rate, BeforeValidator(_rate, json_schema_input_type=str)]
TimeOfDay = Annotated[time, BeforeValidator(_time), _json(r"^([01]\d|2[0-3]):[0-5]\d$")]
Label = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
LabelValue = Annotated[str, Field(max_length=128), AfterValidator(_printable)]
# As followers may call themselves, for example a host's full name.
NodeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Zone = Annotated[str, AfterValidator(_zone)]


class WindowModel(Model):
    """`{ days = ["mon", "tue"], start = "22:00", end = "04:00", timezone = "Europe/Berlin" }`; no days: every day."""

    days: Annotated[tuple[Day, ...], Field(min_length=1)] = _DAYS
    start: TimeOfDay
    end: TimeOfDay
    timezone: Zone = "UTC"

    def window(self) -> Window:
        return Window(frozenset(_DAYS.index(day) for day in self.days), self.start, self.end, self.timezone)

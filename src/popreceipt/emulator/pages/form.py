"""Forms: what was typed, what is wrong with it, and what is meant by it in the control plane's own words.

What a member may be is said once, by the readers of the control plane; here its fields are only put together, and its
refusal is brought back to the field.
"""

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from popreceipt.emulator.instants import written
from popreceipt.emulator.recurrence import Recurrence
from popreceipt.emulator.routes.settings import Reader, Refused

TICKED = "yes"


class Form:
    """The fields of one form, by name, and what is wrong with them; `""` is the form as a whole."""

    def __init__(self, values: Mapping[str, list[str]], errors: Mapping[str, str] | None = None) -> None:
        self._values = values
        self.errors: dict[str, str] = dict(errors or {})

    @classmethod
    def of(cls, data: FormData) -> "Form":
        """What a browser has sent; files are read apart."""
        found: dict[str, list[str]] = {}
        for name, value in data.multi_items():
            if not isinstance(value, UploadFile):
                found.setdefault(name, []).append(value)
        return cls(found)

    @classmethod
    async def sent(cls, request: Request) -> "Form":
        """What a browser has sent in a form without files."""
        async with request.form() as data:
            return cls.of(data)

    @classmethod
    def with_values(cls, **values: str | list[str] | bool | None) -> "Form":
        """A form that nobody has filled in yet."""
        return cls({name: _listed(value) for name, value in values.items()})

    def value(self, name: str) -> str:
        """What a field has; empty when it has nothing."""
        return next(iter(self._values.get(name, ())), "").strip()

    def list(self, name: str) -> list[str]:
        """All that the fields of one name have."""
        return list(self._values.get(name, ()))

    def ticked(self, name: str) -> bool:
        """Whether a box is ticked."""
        return self.value(name) == TICKED

    def read(self, members: Mapping[str, Any], readers: Mapping[str, Reader]) -> dict[str, Any]:
        """Members as their readers understand them. What a reader refuses goes to the errors, by the member's name."""
        found: dict[str, Any] = {}
        for name, value in members.items():
            try:
                found[name] = readers[name](name, value)
            except Refused as refusal:
                self.errors[name] = str(refusal)
        return found

    def recurrence(self, name: str) -> dict[str, Any] | None:
        """What the Define recurrence window tells, as the control plane would be told; None where it is never."""
        every = self.value(f"{name}-every")
        if not every:
            return None
        end: dict[str, Any] | None = None
        match self.value(f"{name}-end"):
            case "count":
                end = {"count": number(self.value(f"{name}-count"))}
            case "date":
                end = {"date": self.value(f"{name}-date")}
        return {
            "every": number(every),
            "unit": self.value(f"{name}-unit") or "minutes",
            "start": self.value(f"{name}-start") or None,
            "weekdays": self.list(f"{name}-weekdays"),
            "end": end,
        }


def recurrence_fields(name: str, recurrence: Recurrence | None) -> dict[str, str | list[str]]:
    """The fields of the Define recurrence window that show a recurrence."""
    if recurrence is None:
        return {f"{name}-unit": "minutes"}
    fields: dict[str, str | list[str]] = {
        f"{name}-every": str(recurrence.every),
        f"{name}-unit": recurrence.unit,
        f"{name}-weekdays": list(recurrence.weekdays),
    }
    if recurrence.start is not None:
        fields[f"{name}-start"] = written(recurrence.start).removesuffix("Z")
    if recurrence.count is not None:
        fields |= {f"{name}-end": "count", f"{name}-count": str(recurrence.count)}
    elif recurrence.until is not None:
        fields |= {f"{name}-end": "date", f"{name}-date": written(recurrence.until).removesuffix("Z")}
    return fields


def recurrence_text(recurrence: Recurrence | None) -> str:
    """A recurrence in words."""
    if recurrence is None:
        return "never"
    unit = recurrence.unit.removesuffix("s") if recurrence.every == 1 else recurrence.unit
    text = f"every {unit}" if recurrence.every == 1 else f"every {recurrence.every} {unit}"
    if recurrence.weekdays:
        text += f" on {', '.join(day.capitalize() for day in recurrence.weekdays)}"
    if recurrence.start is not None:
        text += f", from {recurrence.start:%Y-%m-%d %H:%M}"
    if recurrence.count is not None:
        text += f", {recurrence.count} times"
    elif recurrence.until is not None:
        text += f", until {recurrence.until:%Y-%m-%d %H:%M}"
    return text


def _listed(value: str | list[str] | bool | None) -> list[str]:
    if isinstance(value, bool):
        return [TICKED] if value else []
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


def number(text: str) -> int | str:
    """A whole number; what is none is left as it was typed, for the reader to refuse."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text

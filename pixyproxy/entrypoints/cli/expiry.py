"""When something expires, as the command line takes it."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import click

_DAYS: Final = re.compile(r"([0-9]{1,7})d", re.ASCII)


class Expiry(click.ParamType[datetime]):
    """A number of days from now, a date, or a time (RFC 3339); a date is its first moment in UTC."""

    name = "expiry"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the time in some time zone."""
        try:
            if days := _DAYS.fullmatch(value):
                return datetime.now(UTC) + timedelta(days=int(days[1]))
            time = datetime.fromisoformat(value.upper())
            if time.tzinfo is None and not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value, re.ASCII):
                self.fail(f"{value!r} has no time zone, such as Z.", param, ctx)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is none of these: days from now (90d), a date (2027-01-31), a time (2027-01-31T18:00:00Z).",
                param,
                ctx,
            )
        return time if time.tzinfo else time.replace(tzinfo=UTC)

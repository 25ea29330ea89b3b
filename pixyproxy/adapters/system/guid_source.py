"""Guids from the machine's random source."""

from uuid import UUID, uuid4

from pixyproxy.domain.ports import GuidSource


class RandomGuidSource(GuidSource):
    """Makes random UUIDs (RFC 9562, version 4): 122 random bits."""

    def new(self) -> UUID:
        return uuid4()

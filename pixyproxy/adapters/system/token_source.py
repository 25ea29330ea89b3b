"""Tokens from the machine's random source."""

import secrets

from pixyproxy.domain.ports import TokenSource


class RandomTokenSource(TokenSource):
    """Makes tokens of the operating system's random bytes."""

    def new(self, size: int) -> bytes:
        return secrets.token_bytes(size)

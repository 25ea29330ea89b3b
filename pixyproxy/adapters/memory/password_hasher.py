"""Cheap password hashes for tests."""

import hashlib
import secrets

from pixyproxy.domain.ports import PasswordHasher
from pixyproxy.domain.user import Password, PasswordHash


class InMemoryPasswordHasher(PasswordHasher):
    """Hashes quickly, for tests only: the hashes are easy to crack."""

    async def hash(self, password: Password) -> PasswordHash:
        return _hash(secrets.token_hex(8), password)

    async def verify(self, password_hash: PasswordHash, password: str) -> bool:
        _, _, salt = password_hash.partition("$sha256$")
        fitting = _hash(salt.partition("$")[0], password)
        return secrets.compare_digest(password_hash.encode(), fitting.encode())

    @property
    def dummy_hash(self) -> PasswordHash:
        return PasswordHash(f"$sha256${'0' * 16}${'0' * 64}")


def _hash(salt: str, password: str) -> PasswordHash:
    return PasswordHash(f"$sha256${salt}${hashlib.sha256(f'{salt}{password}'.encode()).hexdigest()}")

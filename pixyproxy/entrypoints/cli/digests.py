"""The option `--digests/--no-digests` of `pixyproxy doctor` and `pixyproxy content copy`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixyproxy.application.digest_check import DigestCheck


def digest_check(option: bool | None) -> "DigestCheck":
    """Return which digests to compare: by default those that the store keeps."""
    from pixyproxy.application.digest_check import DigestCheck

    if option is None:
        return DigestCheck.KEPT
    return DigestCheck.READ if option else DigestCheck.NONE

import logging

import pytest

import pixyproxy.adapters.mysql.asyncmy_connection  # noqa: F401 -- sets up the driver's log


@pytest.mark.parametrize("function", ["GROUP_CONCAT()", "group_concat()"])
def test_a_page_that_was_cut_is_not_logged(caplog: pytest.LogCaptureFixture, function: str) -> None:
    logging.getLogger("asyncmy").warning("Row 12 was cut by %s", function)
    assert caplog.messages == []
    logging.getLogger("asyncmy").warning("Another warning")
    assert caplog.messages == ["Another warning"]

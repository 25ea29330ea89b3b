"""Translation of the driver's errors."""

import pytest
from pymysql.err import (
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    MySQLError,
    OperationalError,
    ProgrammingError,
)

from pixyproxy.adapters.mysql.errors import translated_errors
from pixyproxy.domain.errors import (
    ConstraintViolationError,
    DataValidationError,
    DBConnectionError,
    PixyProxyException,
    SchemaOutdatedError,
)


def translation(error: Exception) -> PixyProxyException:
    with pytest.raises(PixyProxyException) as caught, translated_errors():
        raise error
    assert caught.value.__cause__ is error
    return caught.value


@pytest.mark.parametrize(
    ("key", "detail"),
    [
        ("images_guid", "An image with this guid is stored already."),
        ("images.images_guid", "An image with this guid is stored already."),
        ("users_name", "A user with this name is stored already."),
        ("users.users_name", "A user with this name is stored already."),
        ("PRIMARY", "The record contradicts one that is stored."),
    ],
)
def test_a_duplicate_key_is_a_constraint_violation(key: str, detail: str) -> None:
    message = f"Duplicate entry 'for key 'images_guid'' for key '{key}'"
    error = translation(IntegrityError(1062, message))
    assert isinstance(error, ConstraintViolationError)
    assert error.detail == detail


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (DataError(1406, "Data too long for column 'prompt' at row 1"), "prompt"),
        (DataError(1264, "Out of range value for column 'width' at row 1"), "width"),
        (DataError(1366, "Incorrect string value: '\\xF0' for column `db`.`images`.`prompt` at row 1"), "prompt"),
        (OperationalError(1292, "Incorrect datetime value: '1' for column 'created_at' at row 1"), "created_at"),
        (DataError(1406, "another text"), "record"),
    ],
)
def test_a_value_that_does_not_fit_is_a_validation_error_that_names_the_column(error: MySQLError, field: str) -> None:
    translated = translation(error)
    assert isinstance(translated, DataValidationError)
    assert translated.field == field


@pytest.mark.parametrize(
    "error",
    [
        *(
            OperationalError(code, "on 'db.example' (/run/mysqld/mysqld.sock) for user 'ann'")
            for code in (1040, 1044, 1045, 1049, 1053, 1142, 1205, 1213, 1290, 1317, 2002, 2003, 2006, 2013, 2055, 4031)
        ),
        InterfaceError(0, "Not connected"),
        InterfaceError("(0, 'Not connected')"),
        InterfaceError(),
        TimeoutError(),
        ConnectionResetError(104, "Connection reset by peer"),
    ],
    ids=repr,
)
def test_an_unusable_database_is_a_connection_error_without_names(error: Exception) -> None:
    translated = translation(error)
    assert isinstance(translated, DBConnectionError)
    assert not {"db.example", "ann", "/run", "peer"} & set(translated.detail.replace("'", " ").split())


@pytest.mark.parametrize(
    "error",
    [
        ProgrammingError(1146, "Table 'pixy.images' doesn't exist"),
        OperationalError(1054, "Unknown column 'model' in 'field list'"),
        OperationalError(1050, "Table 'images' already exists"),
    ],
)
def test_another_schema_is_an_outdated_schema(error: MySQLError) -> None:
    assert isinstance(translation(error), SchemaOutdatedError)


@pytest.mark.parametrize(
    "error",
    [
        ProgrammingError(1064, "You have an error in your SQL syntax"),
        InternalError("Packet sequence number wrong - got 3 expected 1"),
        OperationalError("caching sha2: Unknown packet"),
        MySQLError(),
        ValueError("not the driver's"),
        DBConnectionError("already translated"),
    ],
    ids=repr,
)
def test_an_unknown_error_is_raised_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, translated_errors():
        raise error
    assert caught.value is error

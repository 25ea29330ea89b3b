"""Pages of records that are longer together than what the server sends at once."""

import pytest

from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.domain.image import Visibility
from pixyproxy.domain.listing import ImageFilter, ImagePosition
from tests.doubles.mariadb import ThrowawayServer
from tests.factories import ImageFactory


# `adapters/mysql` ignores this warning of aiomysql, but pytest sets its own filters.
@pytest.mark.filterwarnings("ignore:Row .* was cut:pymysql.err.Warning")
async def test_a_page_that_is_too_long_for_one_packet_is_complete(throwaway_mysql_server: ThrowawayServer) -> None:
    server = throwaway_mysql_server
    server.execute("SET GLOBAL max_allowed_packet = 1048576")
    with server.new_database() as url:
        database = MySQLDatabase(url)
        await database.open()
        await database.schema.upgrade()
        prompts = [*("\N{FOX FACE}" * 32_000 for _ in range(12)), "short"]
        added = [await database.images.add(ImageFactory.build(prompt=prompt)) for prompt in prompts]
        listed = await database.images.list(ImageFilter(visibility=Visibility.PUBLIC), limit=100)
        assert listed == sorted(added, key=ImagePosition.of, reverse=True)
        await database.close()

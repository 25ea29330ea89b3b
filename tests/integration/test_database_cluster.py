"""A real Galera cluster: nodes that die, freeze, are cut off, or take no writes."""

from tests.doubles.galera import GaleraCluster, skewed


def test_a_node_that_was_killed_comes_back_with_the_records_of_the_others(galera_cluster: GaleraCluster) -> None:
    first, second, third = galera_cluster.nodes
    database = galera_cluster.create_database()
    second.execute("CREATE TABLE seen (id INT PRIMARY KEY)", database=database)
    second.kill()
    first.execute("INSERT INTO seen VALUES (1)", database=database)
    second.environment = skewed(20)
    second.start()
    galera_cluster.wait()
    assert second.execute("SELECT id FROM seen", database=database) == ((1,),)
    ((now,),) = third.execute("SELECT UNIX_TIMESTAMP()")
    ((later,),) = second.execute("SELECT UNIX_TIMESTAMP()")
    assert 18 <= later - now <= 22
    second.environment = {}

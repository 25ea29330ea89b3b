"""What happens to machines: kills, freezes, partitions, restarts and wrong clocks."""

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from tests.cluster.clients import Client
from tests.cluster.ledger import Ledger
from tests.cluster.world import AUTHORS, RUNNING, World
from tests.doubles.galera import skewed
from tests.doubles.service import START_TIMEOUT

WAITING: Final = 10
SKEW: Final = 20
_LONGEST_FREEZE: Final = 14.0
# Of the images that are held when a replica is killed, those whose client waits.
_WITH_CLIENT: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """An event: its name, what happens in the words of the report, and how.

    `happen` takes the world, the ledger of the clients that play meanwhile, and the seconds that they play; it may take
    longer. `prepare` is called before they play. With `costs_nothing`, no request may fail.
    """

    name: str
    title: str
    happen: Callable[[World, Ledger, float], None]
    prepare: Callable[[World], None] = lambda _world: None
    costs_nothing: bool = False


def kill_replica(world: World, ledger: Ledger, seconds: float) -> None:
    """Kill a replica while it generates as many images as it may and others wait in the queue; start it again."""
    time.sleep(seconds / 10)
    victim = world.replicas[0]
    gate = f"gate-{victim.pid}"
    with ExitStack() as stack:
        client = stack.enter_context(Client(victim.url, AUTHORS[-1], ledger))
        pool = stack.enter_context(ThreadPoolExecutor(_WITH_CLIENT))
        # More than all replicas generate at once. Other authors' images take turns with them.
        for _ in range(_WITH_CLIENT):
            pool.submit(client.create, waits=True, directive=f"[[gate {gate}]]")
        for _ in range(len(world.replicas) * RUNNING + WAITING - _WITH_CLIENT):
            client.create(waits=False, directive=f"[[gate {gate}]]")
        deadline = time.monotonic() + START_TIMEOUT
        while world.running(victim) < RUNNING or world.waiting() < WAITING:
            assert time.monotonic() < deadline, (world.running(victim), world.waiting())
            time.sleep(0.02)
        victim.end(signal.SIGKILL)
        world.openai.open_gate(gate)
    time.sleep(seconds / 5)
    victim.start()


def kill_writer(world: World, ledger: Ledger, seconds: float) -> None:
    """Kill the database node that all replicas use, and start it again."""
    time.sleep(seconds / 10)
    writer = world.cluster.nodes[0]
    writer.kill()
    time.sleep(seconds / 3)
    writer.start()


def freeze_writer(world: World, ledger: Ledger, seconds: float) -> None:
    """Let the database node that all replicas use hang, and go on."""
    time.sleep(seconds / 10)
    writer = world.cluster.nodes[0]
    writer.freeze()
    time.sleep(min(_LONGEST_FREEZE, seconds / 2))
    writer.thaw()


def isolate_writer(world: World, ledger: Ledger, seconds: float) -> None:
    """Cut the database node that all replicas use off from the others, and let it back."""
    time.sleep(seconds / 10)
    writer = world.cluster.nodes[0]
    writer.isolate()
    time.sleep(seconds / 3)
    writer.rejoin()


def kill_s3(world: World, ledger: Ledger, seconds: float) -> None:
    """Kill the server of the bucket, and start it again."""
    time.sleep(seconds / 10)
    world.s3.kill()
    time.sleep(max(1.0, min(10.0, seconds / 6)))
    world.s3.start()


def restart_replicas(world: World, ledger: Ledger, seconds: float) -> None:
    """Restart the replicas one after the other, as for a new version."""
    time.sleep(seconds / 10)
    for replica in world.replicas:
        replica.end()
        replica.start()


def skew_clock(world: World) -> None:
    """Set the clock of a node forward, and have one replica use that node while the others use another one."""
    node = world.cluster.nodes[1]
    node.kill()
    node.environment = skewed(SKEW)
    node.start()
    world.cluster.wait()
    # As the documentation has it where several nodes are in use.
    settings = {"PIXYPROXY_MYSQL_CONSISTENT_READS": "true"}
    skewed_url = {"PIXYPROXY_DATABASE_URL": world.cluster.url(world.database, first=1)}
    *others, last = world.replicas
    world.restart({**dict.fromkeys(others, settings), last: settings | skewed_url})


def let_time_pass(world: World, ledger: Ledger, seconds: float) -> None:
    """Let the clients play."""


EVENTS: Final = (
    Happening(
        name="replica", title=f"`kill -9` of a replica, {RUNNING} running and {WAITING} waiting", happen=kill_replica
    ),
    Happening(name="writer", title="`kill -9` of the database node in use", happen=kill_writer),
    Happening(name="freeze", title="the database node in use hangs and goes on", happen=freeze_writer),
    Happening(name="partition", title="the database node in use is cut off and comes back", happen=isolate_writer),
    Happening(name="s3", title="`kill -9` of the S3 server", happen=kill_s3),
    Happening(name="restart", title="a rolling restart of the replicas", happen=restart_replicas, costs_nothing=True),
    # The last one: the clock stays wrong.
    Happening(
        name="skew",
        title=f"two database nodes in use, the clock of one {SKEW} s ahead",
        happen=let_time_pass,
        prepare=skew_clock,
        costs_nothing=True,
    ),
)

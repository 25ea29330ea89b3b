"""A paid image is never lost and never paid twice, whatever breaks and whenever: some hundred trials, or thousands.

``make chaos`` runs 3,000 with another seed each time. ``PIXYPROXY_CHAOS_TRIALS`` and ``PIXYPROXY_CHAOS_SEED`` set both;
the same seed makes the same schedule.
"""

import os
import time
from typing import Final

import pytest

from tests.chaos.campaign import Campaign, Outcome, table
from tests.chaos.world import World

TRIALS: Final = int(os.environ.get("PIXYPROXY_CHAOS_TRIALS", "260"))
SEED: Final = int(os.environ.get("PIXYPROXY_CHAOS_SEED", "20261121"))
COMMAND: Final = f"PIXYPROXY_CHAOS_SEED={SEED} PIXYPROXY_CHAOS_TRIALS={TRIALS} make chaos"


@pytest.mark.timeout(120 + 3 * TRIALS)
async def test_no_paid_image_is_lost_and_none_is_paid_twice(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    started_at = time.monotonic()
    with capsys.disabled():
        print(f"\n{COMMAND}")  # noqa: T201
    campaign = Campaign(world, SEED)
    try:
        while campaign.trials < TRIALS:
            wrong = await campaign.run_round()
            assert not wrong, "\n".join([f"round {campaign.rounds} of {COMMAND}", *wrong, *_logs(world)])
    finally:
        await campaign.close()
        with capsys.disabled():
            seconds = time.monotonic() - started_at
            print(f"\nseed {SEED}: {campaign.trials:,} trials in {seconds:.0f} s")  # noqa: T201
            for by_strike in (True, False):
                print(f"\n{table(campaign.outcomes, by_strike=by_strike)}")  # noqa: T201
    billed = set(Outcome) - {Outcome.UNBILLED, Outcome.NEEDLESSLY_UNKNOWN, Outcome.LOST, Outcome.TWICE}
    accounted = sum(number for (_, _, outcome), number in campaign.outcomes.items() if outcome in billed)
    assert len(world.openai.billed) == accounted
    await _everything_fits_together(world)


async def _everything_fits_together(world: World) -> None:
    """After the doctor's repair, every row has its file and every file its row."""
    for service in list(world.services):
        await world.end(service)
    long_ago = time.time() - 2 * 86_400
    uploads = [world.content_folder / area / "incoming" for area in (".", "partials", "uploads")]
    for orphan in (path for folder in uploads for path in folder.iterdir()):
        # The doctor leaves what is younger than an hour, or of an upload a day, to a service at work on it.
        os.utime(orphan, (long_ago, long_ago))

    repaired = await world.doctor("--repair")
    checked = await world.doctor()

    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert "nothing is wrong" in checked.stdout, checked.stdout + checked.stderr
    assert not [path for folder in uploads for path in folder.iterdir()]
    assert not world.partials()
    assert not list((world.content_folder / "partials").glob("set-aside/*"))
    rows = await world.query("SELECT guid FROM images WHERE status = 'ready' ORDER BY guid")
    files = [path.name for path in world.contents()]
    assert files == [guid for (guid,) in rows]
    referred = await world.query("SELECT DISTINCT sha256 FROM image_references WHERE sha256 IS NOT NULL")
    assert world.uploads() == sorted(sha256 for (sha256,) in referred)


def _logs(world: World) -> list[str]:
    return [
        line
        for service in world.services
        for line in (f"--- service {service.port}", *service.output.splitlines())
        if "pixyproxy.requests" not in line
    ]

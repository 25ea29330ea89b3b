"""The images that `library.py` fills databases with: as varied as those of a big library, and the same each time.

Words, tags, authors, models and media types are chosen with Zipf's law, or with a share that `library.py` relies on.
"""

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import accumulate
from typing import Final, TypeVar
from uuid import UUID

from pixyproxy.domain.content import ContentInfo, MediaType
from pixyproxy.domain.failure import Failure
from pixyproxy.domain.generation_request import GenerationRequest
from pixyproxy.domain.image import Image, ImageId, ImageStatus, Visibility
from pixyproxy.domain.tag import Tag
from pixyproxy.domain.user import UserName

T = TypeVar("T")

SEED: Final = 7
CHUNK: Final = 5_000
START: Final = datetime(2023, 1, 1, tzinfo=UTC)
END: Final = datetime(2026, 1, 1, tzinfo=UTC)


def _words(text: str) -> Sequence[str]:
    return list(dict.fromkeys(text.split()))


STYLES: Final = _words("""
    photograph watercolor illustration painting sketch render drawing poster engraving woodcut fresco mosaic collage
    cartoon comic etching lithograph pastel mural blueprint diorama silhouette hologram tapestry daguerreotype
""")
ADJECTIVES: Final = _words("""
    red old small golden misty quiet giant broken blue ancient wooden green dark bright lonely frozen silver tiny wild
    rusty glowing elegant crooked white forgotten velvet gentle stormy hollow mossy striped crystal furry transparent
    majestic sleepy curious brave clumsy noble ragged polished marble copper woven feathered scaly smoky dusty radiant
""")
SUBJECTS: Final = _words("""
    cat fox lighthouse dragon city mountain robot forest castle ship woman man dog house river owl knight garden bridge
    whale astronaut tree village horse train wolf tower wizard island boat child bear temple lion clock bird violin
    elephant tiger car market library bicycle raven turtle balloon teapot piano windmill harbor cathedral desert glacier
    volcano waterfall canyon octopus hedgehog squirrel penguin flamingo jellyfish butterfly dragonfly unicorn griffin
    phoenix mermaid samurai pirate clown dancer painter baker fisherman shepherd blacksmith gardener librarian detective
    carousel locomotive submarine airship caravan sailboat canoe telescope lantern candle mirror umbrella typewriter
    gramophone chandelier armchair bookshelf fountain statue staircase greenhouse observatory vineyard orchard meadow
    swamp lagoon reef cave tunnel alley rooftop courtyard station museum theatre bakery tavern monastery pagoda igloo
""")
ACTIONS: Final = _words("""
    standing sleeping flying reading dancing waiting running floating hiding burning singing falling glowing walking
    swimming climbing dreaming sailing drifting melting growing shining resting hunting playing fishing painting
    whispering laughing weeping marching juggling meditating skating knitting cooking
""")
LIGHTS: Final = _words("""
    sunset night dawn moonlight fog rain snow winter autumn spring summer candlelight twilight sunlight starlight storm
    thunder neon aurora dusk noon midnight shadow haze drizzle frost lightning firelight
""")
MANNERS: Final = _words("""
    detailed cinematic minimalist colorful dramatic realistic surreal vintage symmetrical soft macro panoramic wide
    monochrome baroque gothic futuristic impressionist cubist isometric lowpoly ornate grainy sharp blurred vivid muted
    steampunk cyberpunk nostalgic whimsical eerie serene
""")
_SYLLABLES: Final = _words("ka ro mi ta ne lu so vi da po be zu ri fu jo no li gu sa fe")
PLACES: Final = [f"{a}{b}{c}".title() for a in _SYLLABLES for b in _SYLLABLES for c in _SYLLABLES]

TAGS: Final = tuple(Tag(f"{word}-{number}") for number in range(20) for word in [*SUBJECTS, *ADJECTIVES, *LIGHTS])
NEVER_TOGETHER: Final = (Tag("morning"), Tag("evening"))
AUTHORS: Final = [UserName(f"author{number:04}") for number in range(1_000)]
MODELS: Final = {"gpt-image-2": 0.7, "gpt-image-1.5": 0.25, "gpt-image-1-mini": 0.049, "gpt-image-2.6-flare": 0.001}
MEDIA_TYPES: Final = {MediaType.PNG: 0.8, MediaType.WEBP: 0.15, MediaType.JPEG: 0.049, MediaType.GIF: 0.001}

# The shares of private images, of images as old as the one before, and of each of the tags that are never together.
PRIVATE: Final = 0.2
TIES: Final = 0.05
NEVER_TOGETHER_SHARE: Final = 0.05

# One image in this number has the word.
RAREST: Final = ("xylophone", 20_000)
RARE: Final = ("zeppelin", 500)
# Every prompt has one style, and only one in this number has these two.
SELDOM_TOGETHER: Final = ("watercolor", "illustration", 20_000)


def make_chunk(number: int, chunks: int) -> Sequence[Image]:
    """Return `CHUNK` images, with ids and times after those of the chunk before."""
    source = random.Random(f"{SEED}-{number}")  # noqa: S311 -- the same images each time
    begin, length = START + (END - START) * number / chunks, (END - START) / chunks
    moments = sorted(source.random() for _ in range(CHUNK))
    times = [begin + length * moment for moment in moments]
    for position in range(1, CHUNK):
        if source.random() < TIES:
            times[position] = times[position - 1]
    return [_make_image(source, number * CHUNK + position + 1, at) for position, at in enumerate(times)]


def _make_image(source: random.Random, number: int, at: datetime) -> Image:
    guid = UUID(int=source.getrandbits(128), version=4)
    prompt = _make_prompt(source, number)
    author = _choose(source, AUTHORS)
    status = source.choices([ImageStatus.READY, ImageStatus.FAILED, ImageStatus.PENDING], [0.97, 0.02, 0.01])[0]
    media_type = source.choices(list(MEDIA_TYPES), list(MEDIA_TYPES.values()))[0]
    is_ready = status is ImageStatus.READY
    return Image(
        id=ImageId(number),
        guid=guid,
        filename=f"{prompt[:60].replace(' ', '-').replace(',', '')}-{guid}{media_type.extension}",
        request=GenerationRequest(prompt=prompt),
        tags=_make_tags(source),
        author=author,
        visibility=Visibility.PRIVATE if source.random() < PRIVATE else Visibility.PUBLIC,
        status=status,
        model=source.choices(list(MODELS), list(MODELS.values()))[0],
        created_at=at,
        updated_at=at,
        content=ContentInfo(
            media_type=media_type,
            byte_size=source.randint(100_000, 3_000_000),
            sha256=f"{source.getrandbits(256):064x}",
            width=1024,
            height=1024,
        )
        if is_ready
        else None,
        usage={"input_tokens": 31, "output_tokens": 1056, "total_tokens": 1087} if is_ready else None,
        failure=Failure(kind="GenerationFailedError", detail="no image", maybe_billed=False)
        if status is ImageStatus.FAILED
        else None,
    )


def _make_prompt(source: random.Random, number: int) -> str:
    style, adjective, subject, action = (_choose(source, words) for words in (STYLES, ADJECTIVES, SUBJECTS, ACTIONS))
    text = (
        f"a {_choose(source, MANNERS)} {style} of a {adjective} {subject} {action} in the {_choose(source, SUBJECTS)}"
    )
    if source.choice((True, True, False)):
        text += f" of {_choose(source, PLACES)} at {_choose(source, LIGHTS)}"
    if source.choice((True, False)):
        text += f", with a {_choose(source, ADJECTIVES)} {_choose(source, SUBJECTS)}, {_choose(source, MANNERS)}"
    for word, one_in in (RARE, RAREST):
        if number % one_in == one_in // 2:
            text += f" and a {word}"
    *styles, one_in = SELDOM_TOGETHER
    if number % one_in == one_in // 3:
        text += f", half {styles[0]}, half {styles[1]}"
    return text


def _make_tags(source: random.Random) -> tuple[Tag, ...]:
    tags = dict.fromkeys(_choose(source, TAGS) for _ in range(source.choice((2, 3, 4))))
    if (tag := int(source.random() / NEVER_TOGETHER_SHARE)) < len(NEVER_TOGETHER):
        tags[NEVER_TOGETHER[tag]] = None
    return tuple(tags)


def _choose(source: random.Random, choices: Sequence[T]) -> T:
    """Return one of the choices: the n-th is n times as rare as the first."""
    return source.choices(choices, cum_weights=_weights(len(choices)))[0]


@cache
def _weights(count: int) -> Sequence[float]:
    return list(accumulate(1 / rank for rank in range(1, count + 1)))

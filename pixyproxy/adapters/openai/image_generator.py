"""Image generator on OpenAI's API."""

import asyncio
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

from pixyproxy.adapters.openai.answer import Answer, NoPicture, read_answer, read_picture
from pixyproxy.adapters.openai.capabilities import capabilities_of
from pixyproxy.adapters.openai.events import EventStream
from pixyproxy.adapters.openai.purchase import Purchase
from pixyproxy.adapters.openai.redaction import Redaction
from pixyproxy.adapters.openai.retry_policy import OnRateLimit, RetryPolicy, ignore_rate_limit
from pixyproxy.domain.capabilities import Capabilities
from pixyproxy.domain.errors import GenerationFailedError
from pixyproxy.domain.generation_request import MODEL_MAX_LENGTH, OUTPUT_FORMATS, GenerationRequest
from pixyproxy.domain.ports import (
    NO_PICTURES,
    GeneratedImage,
    ImageGenerator,
    InputPictures,
    OnPartial,
    ignore_partial,
)

if TYPE_CHECKING:
    from pixyproxy.adapters.openai.endpoint import ImagesEndpoint

P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_MODEL = "gpt-image-2"

_OPTIONS: Final = (
    "size",
    "quality",
    "background",
    "output_format",
    "output_compression",
    "moderation",
    "input_fidelity",
)
"""The options of a request that are sent by their own names, if there is one."""


class OpenAIImageGenerator(ImageGenerator):
    """Generates images with OpenAI's models.

    Takes the `api_key`, and the `base_url` and default `model` if they are not OpenAI's. Clients may name the `models`
    (by default the default alone), and with `allow_any` all others, whose options are not checked. `size`, `quality`,
    `output_format` and `background` are for requests that leave these open. OpenAI validates those of the default
    model; other models ignore what they do not take. With `send_extra` a request's `extra` is sent on.

    `timeout` bounds the seconds until the answer, retries included, and `connect_timeout` those of a connection;
    `retry` says what is retried. `max_answer_size` bounds the memory of an answer, in bytes. A linked picture is
    downloaded if its address has the base URL's origin or one of `answer_origins`. `on_rate_limit` gets the seconds
    each time that OpenAI asks to wait.

    Raises `ValueError` for a key that can't be sent, a malformed address or origin, a model name that can't be
    recorded, `models` without the default, or an unknown format.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str | None = None,
        model: str = DEFAULT_MODEL,
        models: Sequence[str] = (),
        allow_any: bool = False,
        send_extra: bool = False,
        size: str | None = None,
        quality: str | None = None,
        output_format: str | None = None,
        background: str | None = None,
        timeout: float = 300.0,
        connect_timeout: float = 10.0,
        max_answer_size: int = 64 << 20,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 -- it is frozen
        answer_origins: Collection[str] = (),
        on_rate_limit: OnRateLimit = ignore_rate_limit,
    ) -> None:
        # The client would quote such a key in its error.
        if not re.fullmatch(r"[!-~]+", api_key.strip()):
            raise ValueError("The OpenAI API key must be printable ASCII without spaces.")
        if base_url is not None and not _is_http(base_url):
            raise ValueError("The OpenAI base URL must begin with http:// or https:// and name a host.")
        if not all(map(_is_http, answer_origins)):
            raise ValueError(
                "Each origin of the answers' pictures must begin with http:// or https:// and name a host."
            )
        models = models or (model,)
        if not all(1 <= len(name) <= MODEL_MAX_LENGTH for name in models):
            raise ValueError(f"Each OpenAI model must have 1 to {MODEL_MAX_LENGTH} characters.")
        if model not in models:
            raise ValueError(f"The OpenAI models must have the default, {model}, among them.")
        if output_format is not None and output_format not in OUTPUT_FORMATS:
            raise ValueError(f"The OpenAI output format must be one of {', '.join(OUTPUT_FORMATS)}.")
        self._api_key = api_key.strip()
        self._base_url = base_url
        options = {"size": size, "quality": quality, "output_format": output_format, "background": background}
        defaults = {name: value for name, value in options.items() if value is not None}
        self._capabilities = capabilities_of(model, models, defaults, allow_any=allow_any)
        self._send_extra = send_extra
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._max_answer_size = max_answer_size
        self._retry = retry
        self._answer_origins = tuple(answer_origins)
        self._on_rate_limit = on_rate_limit
        self._endpoint: ImagesEndpoint | None = None
        self._connecting = asyncio.Lock()
        # One thread: decoded pictures are large, and beside the generation the queue costs little.
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="openai-decoder")

    def capabilities(self) -> Capabilities:
        """Return what the allowed models take."""
        return self._capabilities

    async def generate(
        self,
        request: GenerationRequest,
        *,
        pictures: InputPictures = NO_PICTURES,
        on_partial: OnPartial = ignore_partial,
    ) -> GeneratedImage:
        """Buy one image; raise a `GenerationError` that says whether it may be billed."""
        endpoint = await self._connected()
        stream = EventStream(request.partial_images, on_partial, self._in_decoder) if request.partial_images else None
        return await self._picture(endpoint, await self._bought(endpoint, request, pictures, stream))

    async def _bought(
        self,
        endpoint: "ImagesEndpoint",
        request: GenerationRequest,
        pictures: InputPictures,
        stream: EventStream | None,
    ) -> GeneratedImage | NoPicture:
        """Return the result of an answer; errors must not hold the answer, which may be large."""
        given = self._given(request)
        purchase = Purchase(
            parameters=self._parameters(request),
            given=given,
            pictures=pictures,
            on_event=None if stream is None else stream.take,
        )
        answer = await endpoint.buy(purchase)
        return await self._in_decoder(self._read, answer, request.prompt, given, stream)

    def _parameters(self, request: GenerationRequest) -> dict[str, Any]:
        """Return the parameters for a request by their names in OpenAI's API."""
        completed = self._capabilities.model_for(request).completed(request)
        options = {name: value for name in _OPTIONS if (value := getattr(completed, name)) is not None}
        stream = {"stream": True, "partial_images": completed.partial_images} if completed.partial_images else {}
        extra = completed.extra if completed.extra and self._send_extra else {}
        return {**extra, "model": completed.model, "prompt": completed.prompt, "n": 1, **options, **stream}

    def _given(self, request: GenerationRequest) -> Mapping[str, str]:
        """Return the parameters that the client chose, with their fields in the request."""
        plain = GenerationRequest(prompt=request.prompt, extra=request.extra)
        given = {name: name for name in plain.__struct_fields__ if getattr(request, name) != getattr(plain, name)}
        if request.references:
            given["image"] = "references"
        if request.partial_images:
            given["stream"] = "partial_images"
        return {**given, **dict.fromkeys(request.extra or () if self._send_extra else (), "extra")}

    async def _picture(self, endpoint: "ImagesEndpoint", found: GeneratedImage | NoPicture) -> GeneratedImage:
        """Return the picture in an answer or at its link; raise what is wrong with it."""
        if isinstance(found, GeneratedImage):
            return found
        from pixyproxy.adapters.openai.picture_download import PictureDownloadError  # noqa: PLC0415

        error = found.error
        for address in found.addresses:
            try:
                data = await endpoint.fetch(address)
                return await self._in_decoder(read_picture, data, found)
            except GenerationFailedError as exc:
                error = exc
            except PictureDownloadError:
                continue
        try:
            raise error from error.__cause__
        finally:
            # The error's traceback leads to this frame: only the garbage collector would free the answer.
            del error, found

    def _read(
        self, answer: Answer, prompt: str, given: Mapping[str, str], stream: EventStream | None
    ) -> GeneratedImage | NoPicture:
        redact = Redaction(api_key=self._api_key, prompt=prompt)
        settled: Answer | NoPicture = answer
        if stream is not None:
            settled = stream.settle(answer, max_size=self._max_answer_size, redact=redact, given=given)
        if isinstance(settled, NoPicture):
            return settled
        found = read_answer(settled, max_size=self._max_answer_size, redact=redact, given=given)
        if isinstance(found, NoPicture) and stream is not None and settled.broken is not None:
            stream.keep_partial(found.error)
        return found

    async def _in_decoder(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._decoder, partial(read, *args, **kwargs))

    async def open(self) -> None:
        """Build the client early, to detect unusable settings; raise `GeneratorSetupError`."""
        await self._connected()

    async def close(self) -> None:
        """Close the connections and end the decoder's thread; the generator can't be used any more."""
        self._decoder.shutdown(wait=False)
        if self._endpoint is not None:
            await self._endpoint.close()

    async def _connected(self) -> "ImagesEndpoint":
        """Return the endpoint, built on first use."""
        async with self._connecting:
            if self._endpoint is None:
                self._endpoint = await asyncio.to_thread(self._connect)
            return self._endpoint

    def _connect(self) -> "ImagesEndpoint":
        # Importing openai takes 0.8 s of CPU; processes that generate nothing must not pay it.
        from pixyproxy.adapters.openai.endpoint import ImagesEndpoint  # noqa: PLC0415
        from pixyproxy.adapters.openai.errors import setup_errors  # noqa: PLC0415

        with setup_errors():
            return ImagesEndpoint(
                api_key=self._api_key,
                base_url=self._base_url,
                timeout=self._timeout,
                connect_timeout=self._connect_timeout,
                max_answer_size=self._max_answer_size,
                retry=self._retry,
                answer_origins=self._answer_origins,
                on_rate_limit=self._on_rate_limit,
            )


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)

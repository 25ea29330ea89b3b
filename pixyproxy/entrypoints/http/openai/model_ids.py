"""The model ids that clients of OpenAI's images API may ask for."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import msgspec

from pixyproxy.application import ListModels
from pixyproxy.domain.capabilities import Capabilities, ModelCapabilities
from pixyproxy.domain.errors import ModelNotFoundError
from pixyproxy.domain.generation_request import MODEL_MAX_LENGTH, GenerationRequest
from pixyproxy.domain.text import ensure_label
from pixyproxy.entrypoints.container import Container
from pixyproxy.entrypoints.settings import Settings


class ModelId(msgspec.Struct, frozen=True, kw_only=True):
    """An id that was asked for, and the model that draws; `is_alias` says that this one has another id."""

    model: ModelCapabilities
    asked: str
    is_alias: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIds:
    """Finds models by their ids and by their aliases.

    `aliases` have the id of a model, or None for the default model. The default model also draws for `trial_ids`, in
    place of models that only another generator has.
    """

    list_models: ListModels
    aliases: Mapping[str, str | None]
    trial_ids: Collection[str]

    @classmethod
    def of(cls, container: Container, settings: Settings) -> Self:
        """Return the ids that the settings and the container's generator allow."""
        trial_ids = container.trial_model_ids()
        return cls(
            list_models=container.list_models(),
            aliases=settings.model_aliases,
            # The operator's models, too, so that the same settings can be tried without a key.
            trial_ids=tuple(dict.fromkeys([*settings.allowed_models, *trial_ids])) if trial_ids else (),
        )

    async def resolve(self, asked: str | None) -> ModelId:
        """Return the model for an id, or the default model for None.

        Raises `ModelNotFoundError` for an id that no request may have, and `DataValidationError` for a malformed one
        where requests may name any model.
        """
        capabilities = await self.list_models()
        if asked is None:
            asked = capabilities.default
        model = self._find(capabilities, asked)
        if model is None:
            raise ModelNotFoundError(
                f"There is no model {asked[:MODEL_MAX_LENGTH]!a}, or none that may be used here; GET /v1/models lists"
                " those that there are."
            )
        return ModelId(model=model, asked=asked, is_alias=model.id != asked)

    async def listed(self) -> Sequence[str]:
        """Return the ids that clients may choose from, the default model's first: those that look like OpenAI's."""
        return [id_ for id_ in dict.fromkeys(self._ids(await self.list_models())) if "gpt-image" in id_]

    def _ids(self, capabilities: Capabilities) -> Iterator[str]:
        yield capabilities.default
        yield from (model.id for model in capabilities.models)
        yield from self.trial_ids
        yield from (alias for alias in self.aliases if self._find(capabilities, alias) is not None)

    def _find(self, capabilities: Capabilities, asked: str) -> ModelCapabilities | None:
        models = {model.id: model for model in capabilities.models}
        if asked in models:
            return models[asked]
        if asked in self.aliases:
            target = self.aliases[asked]
            asked = capabilities.default if target is None else target
        if asked in models:
            return models[asked]
        if asked in self.trial_ids:
            return models[capabilities.default]
        if capabilities.others is None:
            return None
        ensure_label("model", asked, MODEL_MAX_LENGTH)
        return capabilities.model_for(GenerationRequest(prompt="", model=asked))

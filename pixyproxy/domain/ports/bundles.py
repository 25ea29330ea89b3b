"""The ports that one adapter class implements together, so that its base class is one name.

Use cases take the single ports, and so do hosts that need few of them.
"""

from typing import Protocol

from pixyproxy.domain.ports.content_maintenance import ContentMaintenance
from pixyproxy.domain.ports.content_store import ContentStore
from pixyproxy.domain.ports.health_check import HealthCheck
from pixyproxy.domain.ports.idempotency_keys import IdempotencyKeys
from pixyproxy.domain.ports.image_batches import ImageBatches
from pixyproxy.domain.ports.image_catalogue import ImageCatalogue
from pixyproxy.domain.ports.image_deletions import ImageDeletions
from pixyproxy.domain.ports.image_leases import ImageLeases
from pixyproxy.domain.ports.image_maintenance import ImageMaintenance
from pixyproxy.domain.ports.image_queue import ImageQueue
from pixyproxy.domain.ports.image_repository import ImageRepository
from pixyproxy.domain.ports.quarantine import Quarantine
from pixyproxy.domain.ports.search_index import SearchIndex
from pixyproxy.domain.ports.tag_catalogue import TagCatalogue
from pixyproxy.domain.ports.upload_store import UploadStore
from pixyproxy.domain.ports.uploads import Uploads
from pixyproxy.domain.ports.variant_store import VariantStore


class ImagePorts(
    ImageRepository,
    ImageBatches,
    ImageCatalogue,
    TagCatalogue,
    ImageQueue,
    ImageLeases,
    ImageDeletions,
    IdempotencyKeys,
    Uploads,
    SearchIndex,
    ImageMaintenance,
    HealthCheck,
    Protocol,
):
    """All that the service needs of a database of images."""


class ContentPorts(ContentStore, VariantStore, UploadStore, Quarantine, ContentMaintenance, Protocol):
    """All that the service needs of a content store."""

"""The ports: what use cases need from the outside, one file each.

The docstrings are the contract, and `tests/contracts` holds adapters to it. Every method may raise the error of a
failing dependency: `DBConnectionError` for images, users and the schema, `ContentStoreError` for content.
"""

from pixyproxy.domain.ports.access_version import AccessMark, AccessVersion
from pixyproxy.domain.ports.api_key_repository import APIKeyRepository
from pixyproxy.domain.ports.bundles import ContentPorts, ImagePorts
from pixyproxy.domain.ports.clock import Clock
from pixyproxy.domain.ports.content_inspector import ContentInspector, InputInfo
from pixyproxy.domain.ports.content_links import Audience, ContentLinks, LinkTerms, ShownAs
from pixyproxy.domain.ports.content_maintenance import ContentMaintenance, FoundContent
from pixyproxy.domain.ports.content_store import ContentDigest, ContentStore, StoredContent, chunks_of
from pixyproxy.domain.ports.data_upgrades import DataUpgrades, UpgradeProgress
from pixyproxy.domain.ports.guid_source import GuidSource
from pixyproxy.domain.ports.health_check import HealthCheck
from pixyproxy.domain.ports.idempotency_keys import IdempotencyKeys
from pixyproxy.domain.ports.image_archive import (
    ArchivedImage,
    ArchivedReference,
    ArchiveProblem,
    ImageArchiveReader,
    ImageArchiveWriter,
)
from pixyproxy.domain.ports.image_batches import ImageBatches
from pixyproxy.domain.ports.image_catalogue import ImageCatalogue
from pixyproxy.domain.ports.image_deletions import ImageDeletions
from pixyproxy.domain.ports.image_generator import (
    NO_PICTURES,
    GeneratedImage,
    ImageGenerator,
    InputPicture,
    InputPictures,
    OnPartial,
    PartialImage,
    ignore_partial,
)
from pixyproxy.domain.ports.image_leases import ImageLeases, Lease
from pixyproxy.domain.ports.image_maintenance import DamagedRecord, ImageMaintenance
from pixyproxy.domain.ports.image_queue import ClaimOutcome, ImageQueue, Unfinished
from pixyproxy.domain.ports.image_repository import ImageRepository
from pixyproxy.domain.ports.password_hasher import PasswordHasher
from pixyproxy.domain.ports.picture_source import PictureSource
from pixyproxy.domain.ports.quarantine import Quarantine, Quarantined
from pixyproxy.domain.ports.rate_limits import RateLimits
from pixyproxy.domain.ports.schema import Migration, Schema
from pixyproxy.domain.ports.search_index import RebuiltIndex, SearchIndex
from pixyproxy.domain.ports.secret_store import SecretStore
from pixyproxy.domain.ports.sendable_file import SendableFile
from pixyproxy.domain.ports.session_store import SessionStore
from pixyproxy.domain.ports.tag_catalogue import TagCatalogue
from pixyproxy.domain.ports.token_source import TokenSource
from pixyproxy.domain.ports.upload_store import UploadStore
from pixyproxy.domain.ports.uploads import UploadRecord, Uploads
from pixyproxy.domain.ports.user_repository import UserRepository
from pixyproxy.domain.ports.variant_maker import VariantMaker
from pixyproxy.domain.ports.variant_store import VariantStore
from pixyproxy.domain.ports.verified_logins import VerifiedLogin, VerifiedLogins

__all__ = [
    "NO_PICTURES",
    "APIKeyRepository",
    "AccessMark",
    "AccessVersion",
    "ArchiveProblem",
    "ArchivedImage",
    "ArchivedReference",
    "Audience",
    "ClaimOutcome",
    "Clock",
    "ContentDigest",
    "ContentInspector",
    "ContentLinks",
    "ContentMaintenance",
    "ContentPorts",
    "ContentStore",
    "DamagedRecord",
    "DataUpgrades",
    "FoundContent",
    "GeneratedImage",
    "GuidSource",
    "HealthCheck",
    "IdempotencyKeys",
    "ImageArchiveReader",
    "ImageArchiveWriter",
    "ImageBatches",
    "ImageCatalogue",
    "ImageDeletions",
    "ImageGenerator",
    "ImageLeases",
    "ImageMaintenance",
    "ImagePorts",
    "ImageQueue",
    "ImageRepository",
    "InputInfo",
    "InputPicture",
    "InputPictures",
    "Lease",
    "LinkTerms",
    "Migration",
    "OnPartial",
    "PartialImage",
    "PasswordHasher",
    "PictureSource",
    "Quarantine",
    "Quarantined",
    "RateLimits",
    "RebuiltIndex",
    "Schema",
    "SearchIndex",
    "SecretStore",
    "SendableFile",
    "SessionStore",
    "ShownAs",
    "StoredContent",
    "TagCatalogue",
    "TokenSource",
    "Unfinished",
    "UpgradeProgress",
    "UploadRecord",
    "UploadStore",
    "Uploads",
    "UserRepository",
    "VariantMaker",
    "VariantStore",
    "VerifiedLogin",
    "VerifiedLogins",
    "chunks_of",
    "ignore_partial",
]

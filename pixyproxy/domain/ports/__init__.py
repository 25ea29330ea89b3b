"""The ports: what the use cases need from the world, one file each.

Each docstring is the contract that the contract suite holds adapters to. Every method may raise the error of its port
for a world that fails: `DBConnectionError` for repositories and schema, `ContentStoreError` for the content store.
"""

from pixyproxy.domain.ports.clock import Clock
from pixyproxy.domain.ports.content_inspector import ContentInspector
from pixyproxy.domain.ports.content_store import ContentDigest, ContentStore, Quarantined, StoredContent, StoredFile
from pixyproxy.domain.ports.data_upgrades import DataUpgrades, UpgradeProgress
from pixyproxy.domain.ports.guid_source import GuidSource
from pixyproxy.domain.ports.image_archive import ArchivedImage, ArchiveProblem, ImageArchiveReader, ImageArchiveWriter
from pixyproxy.domain.ports.image_generator import GeneratedImage, ImageGenerator
from pixyproxy.domain.ports.image_repository import DamagedRecord, ImageRepository, Lease, RebuiltWords
from pixyproxy.domain.ports.password_hasher import PasswordHasher
from pixyproxy.domain.ports.schema import Migration, Schema
from pixyproxy.domain.ports.secret_store import SecretStore
from pixyproxy.domain.ports.user_repository import UserRepository
from pixyproxy.domain.ports.variant_maker import VariantMaker
from pixyproxy.domain.ports.verified_logins import VerifiedLogins

__all__ = [
    "ArchiveProblem",
    "ArchivedImage",
    "Clock",
    "ContentDigest",
    "ContentInspector",
    "ContentStore",
    "DamagedRecord",
    "DataUpgrades",
    "GeneratedImage",
    "GuidSource",
    "ImageArchiveReader",
    "ImageArchiveWriter",
    "ImageGenerator",
    "ImageRepository",
    "Lease",
    "Migration",
    "PasswordHasher",
    "Quarantined",
    "RebuiltWords",
    "Schema",
    "SecretStore",
    "StoredContent",
    "StoredFile",
    "UpgradeProgress",
    "UserRepository",
    "VariantMaker",
    "VerifiedLogins",
]

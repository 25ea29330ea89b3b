"""The adapter of each port: the only place that knows every adapter.

What was tried with dependency-injector and Litestar, and why nothing here is a `Resource` or wired, is in
`docs/adr/0004-dependency-injector-without-wiring.md`.
"""

import operator
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from dependency_injector import containers, providers

from pixyproxy.adapters.archive.folder_reader import FolderImageArchiveReader
from pixyproxy.adapters.archive.folder_writer import FolderImageArchiveWriter
from pixyproxy.adapters.archive.private_folder import PrivateFolder
from pixyproxy.adapters.archive.tar_reader import TarImageArchiveReader
from pixyproxy.adapters.archive.tar_writer import TarImageArchiveWriter
from pixyproxy.adapters.argon2.password_hasher import Argon2PasswordHasher
from pixyproxy.adapters.filesystem.content_store import FilesystemContentStore
from pixyproxy.adapters.http.picture_source import HTTPPictureSource
from pixyproxy.adapters.memory.verified_logins import InMemoryVerifiedLogins
from pixyproxy.adapters.mysql.database import MySQLDatabase
from pixyproxy.adapters.openai.image_generator import OpenAIImageGenerator
from pixyproxy.adapters.openai.models import MODELS
from pixyproxy.adapters.pictures.pillow.content_inspector import PillowContentInspector
from pixyproxy.adapters.pictures.vips.variant_maker import VipsVariantMaker
from pixyproxy.adapters.s3.content_links import S3ContentLinks
from pixyproxy.adapters.s3.content_store import S3ContentStore
from pixyproxy.adapters.sketch.image_generator import SketchImageGenerator
from pixyproxy.adapters.sqlite.database import SQLiteDatabase
from pixyproxy.adapters.system.clock import SystemClock
from pixyproxy.adapters.system.guid_source import RandomGuidSource
from pixyproxy.adapters.system.token_source import RandomTokenSource
from pixyproxy.application import (
    AddUser,
    AdmitUploads,
    AuthenticateKey,
    AuthenticateUser,
    ChangeImage,
    ChangePassword,
    CheckConsistency,
    CheckReadiness,
    CheckUploads,
    ConfirmAnswer,
    CorrectSizes,
    CreateBatch,
    CreateFirstUser,
    CreateImage,
    CreateKey,
    DeleteImage,
    DeleteImages,
    DisableUser,
    EnableUser,
    EndSession,
    EndSessions,
    ExportImages,
    FetchReference,
    FindKey,
    FindPictures,
    FindSession,
    FinishDeletions,
    FollowOrder,
    GenerateImage,
    GetBatch,
    GetImage,
    GetImageContent,
    GetImageVariant,
    GetPartialImage,
    GetReference,
    ImportImages,
    ImportUploads,
    IndexPrompts,
    ListImages,
    ListKeys,
    ListModels,
    ListSessions,
    ListTags,
    ListUsers,
    OpenSession,
    PackImages,
    PlaceOrder,
    PrepareThumbnails,
    RebuildIndexes,
    RecoverImages,
    RevokeKey,
    RevokeKeys,
    RotateLinkKey,
    SetVisibility,
    StoreUpload,
    SweepSessions,
    SweepUploads,
    TagImages,
    UpgradeData,
    UpgradeTagIndex,
    UpgradeTags,
    UpgradeWords,
    WatchImage,
    WatchOwnImages,
)
from pixyproxy.application.access_changes import AccessChanges
from pixyproxy.application.dispatcher import Dispatcher, DispatchPolicy
from pixyproxy.application.generate_image import GenerationPolicy
from pixyproxy.application.generations import Generations
from pixyproxy.application.lease_watch import LeaseWatch
from pixyproxy.application.login_allowance import LoginAllowance
from pixyproxy.application.partial_images import PartialImages
from pixyproxy.application.single_flight import SingleFlight
from pixyproxy.domain.content import CONTENT_MAX_SIZE
from pixyproxy.domain.ports import ContentDigest
from pixyproxy.domain.variant import VariantPolicy
from pixyproxy.entrypoints.cursor_signer import CursorSigner
from pixyproxy.entrypoints.housekeeping import (
    end_generations,
    log_dispatch_error,
    log_end,
    log_thumbnail_error,
    process_name,
)
from pixyproxy.entrypoints.link_signer import LinkSigner
from pixyproxy.entrypoints.settings import Settings

# The areas of the content store: folders below that of the contents, or prefixes in the bucket.
UPLOADS: Final = "uploads"
PARTIALS: Final = "partials"


class Container(containers.DeclarativeContainer):
    """Builds every use case from `settings`; each adapter is made once, when it is first needed."""

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)

    database = providers.Selector(
        settings.provided.database_kind,
        sqlite=providers.Singleton(
            SQLiteDatabase,
            providers.Factory(Path, settings.provided.database_path),
            max_searches=settings.provided.max_searches,
            search_timeout=settings.provided.search_timeout,
        ),
        mysql=providers.Singleton(
            MySQLDatabase,
            settings.provided.database_url,
            pool_size=settings.provided.mysql_pool_size,
            connect_timeout=settings.provided.mysql_connect_timeout,
            timeout=settings.provided.mysql_timeout,
            idle_timeout=settings.provided.mysql_idle_timeout,
            consistent_reads=settings.provided.mysql_consistent_reads,
            max_searches=settings.provided.max_searches,
            search_timeout=settings.provided.search_timeout,
        ),
    )
    schema = database.provided.schema
    images = database.provided.images
    users = database.provided.users
    api_keys = database.provided.api_keys
    sessions = database.provided.sessions
    secrets = database.provided.secrets
    access_version = database.provided.access_version
    access_changes = providers.Singleton(AccessChanges, access_version)
    rate_limits = database.provided.rate_limits
    upgrade_progress = database.provided.data_upgrades
    cursor_signer = providers.Singleton(CursorSigner, secrets)
    link_signer = providers.Singleton(LinkSigner, secrets, access_changes, settings.provided.link_secrets)
    contents = providers.Selector(
        settings.provided.content_kind,
        file=providers.Singleton(FilesystemContentStore, providers.Factory(Path, settings.provided.content_path)),
        s3=providers.Singleton(S3ContentStore, settings.provided.content_bucket),
    )
    content_links = providers.Singleton(
        S3ContentLinks, settings.provided.content_bucket, environment=providers.Object(os.environ)
    )
    upload_contents = providers.Selector(
        settings.provided.content_kind,
        file=providers.Singleton(
            FilesystemContentStore, providers.Factory(Path, settings.provided.content_path, UPLOADS)
        ),
        s3=providers.Singleton(S3ContentStore, settings.provided.content_bucket, area=UPLOADS),
    )
    partial_contents = providers.Selector(
        settings.provided.content_kind,
        file=providers.Singleton(
            FilesystemContentStore, providers.Factory(Path, settings.provided.content_path, PARTIALS)
        ),
        s3=providers.Singleton(S3ContentStore, settings.provided.content_bucket, area=PARTIALS),
    )
    generator = providers.Selector(
        settings.provided.generator_kind,
        openai=providers.Singleton(
            OpenAIImageGenerator,
            api_key=settings.provided.openai_api_key,
            base_url=settings.provided.openai_base_url,
            model=settings.provided.openai_model,
            models=settings.provided.allowed_models,
            allow_any=settings.provided.openai_allow_any,
            send_extra=settings.provided.openai_send_extra,
            size=settings.provided.openai_size,
            quality=settings.provided.openai_quality,
            output_format=settings.provided.openai_output_format,
            background=settings.provided.openai_background,
            timeout=settings.provided.openai_timeout,
            answer_origins=settings.provided.answer_origins,
            on_rate_limit=providers.Factory(partial, rate_limits.provided.push_back, settings.provided.limit_name),
        ),
        sketch=providers.Singleton(SketchImageGenerator),
    )
    # Ids that the default model draws for below `/v1`.
    trial_model_ids = providers.Selector(
        settings.provided.generator_kind,
        openai=providers.Object(()),
        # So that clients can be tried as they are, without a key.
        sketch=providers.Object(tuple(MODELS)),
    )
    picture_source = providers.Singleton(HTTPPictureSource, settings.provided.picture_origins)
    hasher = providers.Singleton(Argon2PasswordHasher)
    verified = providers.Singleton(InMemoryVerifiedLogins, lifetime=settings.provided.login_memory)
    inspector = providers.Singleton(PillowContentInspector)
    # One worker more, for the SVG that is being drawn.
    variant_maker = providers.Singleton(
        VipsVariantMaker, max_workers=providers.Callable(operator.add, settings.provided.max_variants, 1)
    )
    clock = providers.Singleton(SystemClock)
    guids = providers.Singleton(RandomGuidSource)
    tokens = providers.Singleton(RandomTokenSource)
    private_folder = providers.Factory(PrivateFolder.make)
    folder_archive_writer = providers.Factory(FolderImageArchiveWriter)
    folder_archive_reader = providers.Factory(FolderImageArchiveReader)
    tar_archive_writer = providers.Factory(TarImageArchiveWriter)
    tar_archive_reader = providers.Factory(TarImageArchiveReader)

    generations = providers.Singleton(Generations, on_end=log_end)
    variant_flight: providers.Provider[SingleFlight[ContentDigest]] = providers.Singleton(
        SingleFlight, max_running=settings.provided.max_variants
    )
    drawing_flight: providers.Provider[SingleFlight[ContentDigest]] = providers.Singleton(SingleFlight, max_running=1)
    process_name = providers.Singleton(process_name)
    lease_watch = providers.Singleton(LeaseWatch, seconds=settings.provided.lease)
    policy = providers.Singleton(
        GenerationPolicy,
        owner=process_name,
        lease_seconds=settings.provided.lease,
        patience=settings.provided.patience,
    )

    partial_images = providers.Singleton(
        PartialImages, contents=partial_contents, inspector=inspector, on_kept=generations.provided.announce
    )
    find_pictures = providers.Singleton(
        FindPictures, images=images, contents=contents, upload_contents=upload_contents, inspector=inspector
    )
    store_upload = providers.Singleton(
        StoreUpload,
        uploads=images,
        upload_store=upload_contents,
        inspector=inspector,
        max_size=settings.provided.max_upload,
        # Longer than a body takes: no hold of an early file may end before the image is stored.
        hold_seconds=providers.Callable(operator.mul, settings.provided.upload_timeout, 2),
    )
    fetch_reference = providers.Singleton(FetchReference, picture_source=picture_source, store_upload=store_upload)
    sweep_uploads = providers.Singleton(SweepUploads, uploads=images, upload_contents=upload_contents)
    get_image_variant = providers.Singleton(
        GetImageVariant,
        images=images,
        contents=contents,
        variants=contents,
        maker=variant_maker,
        policy=providers.Singleton(VariantPolicy, sides=settings.provided.variant_sides),
        variant_flight=variant_flight,
        drawing_flight=drawing_flight,
    )
    prepare_thumbnails = providers.Singleton(
        PrepareThumbnails,
        images=images,
        get_image_variant=get_image_variant,
        on_error=providers.Object(log_thumbnail_error),
    )
    generate_image = providers.Singleton(
        GenerateImage,
        images=images,
        contents=contents,
        leases=images,
        quarantine=contents,
        partials=partial_images,
        find_pictures=find_pictures,
        generator=generator,
        clock=clock,
        policy=policy,
        on_ready=prepare_thumbnails,
    )
    dispatcher = providers.Singleton(
        Dispatcher,
        generate_image=generate_image,
        queue=images,
        rate_limits=rate_limits,
        generations=generations,
        policy=providers.Singleton(
            DispatchPolicy,
            max_running=settings.provided.max_generations,
            max_waiting=settings.provided.max_waiting,
            limit_name=settings.provided.limit_name,
            images_per_minute=settings.provided.openai_images_per_minute,
            max_running_together=settings.provided.openai_concurrency,
        ),
        on_error=providers.Object(log_dispatch_error),
    )
    admit_uploads = providers.Singleton(AdmitUploads, dispatcher=dispatcher, upload_contents=upload_contents)
    create_image = providers.Singleton(
        CreateImage,
        images=images,
        idempotency_keys=images,
        dispatcher=dispatcher,
        clock=clock,
        guids=guids,
        max_wait=settings.provided.max_wait,
        claim_seconds=settings.provided.idempotency_key_lifetime,
    )
    create_batch = providers.Singleton(CreateBatch, create_image=create_image, batches=images)
    place_order = providers.Singleton(PlaceOrder, create_batch=create_batch)
    follow_order = providers.Singleton(
        FollowOrder, images=images, generations=generations, clock=clock, partials=partial_images, policy=policy
    )
    confirm_answer = providers.Singleton(ConfirmAnswer, idempotency_keys=images)
    recover_images = providers.Singleton(
        RecoverImages,
        images=images,
        leases=images,
        queue=images,
        contents=contents,
        quarantine=contents,
        inspector=inspector,
        generator=generator,
        clock=clock,
        lease_watch=lease_watch,
        owner=process_name,
        generations=generations,
        partials=partial_images,
        on_ready=prepare_thumbnails,
    )
    finish_deletions = providers.Singleton(
        FinishDeletions, deletions=images, contents=contents, lease_seconds=settings.provided.lease
    )
    correct_sizes = providers.Singleton(
        CorrectSizes, image_maintenance=images, contents=contents, inspector=inspector, clock=clock
    )
    check_uploads = providers.Singleton(
        CheckUploads, uploads=images, upload_contents=upload_contents, sweep_uploads=sweep_uploads
    )
    check_consistency = providers.Singleton(
        CheckConsistency,
        images=images,
        leases=images,
        deletions=images,
        image_maintenance=images,
        contents=contents,
        variants=contents,
        quarantine=contents,
        content_maintenance=contents,
        partials=partial_contents,
        check_uploads=check_uploads,
        inspector=inspector,
        clock=clock,
        correct_size=correct_sizes.provided.correct,
        recover=recover_images,
        finish_deletions=finish_deletions,
        lease_watch=lease_watch,
    )
    watch_image = providers.Singleton(WatchImage, images=images, generations=generations, partials=partial_images)
    watch_own_images = providers.Singleton(
        WatchOwnImages,
        catalogue=images,
        images=images,
        generations=generations,
        clock=clock,
        partials=partial_images,
    )
    get_partial_image = providers.Singleton(GetPartialImage, images=images, partials=partial_images)
    get_image = providers.Singleton(GetImage, images=images)
    get_batch = providers.Singleton(GetBatch, batches=images)
    get_image_content = providers.Singleton(GetImageContent, images=images, contents=contents)
    get_reference = providers.Singleton(GetReference, images=images, find_pictures=find_pictures)
    list_images = providers.Singleton(ListImages, catalogue=images, images=images)
    list_tags = providers.Singleton(ListTags, tags=images)
    list_models = providers.Singleton(ListModels, generator=generator)
    change_image = providers.Singleton(ChangeImage, images=images, clock=clock)
    delete_image = providers.Singleton(
        DeleteImage,
        images=images,
        deletions=images,
        contents=contents,
        partials=partial_images,
        sweep_uploads=sweep_uploads,
        lease_seconds=settings.provided.lease,
    )
    tag_images = providers.Singleton(TagImages, change_image=change_image)
    set_visibility = providers.Singleton(SetVisibility, change_image=change_image)
    delete_images = providers.Singleton(DeleteImages, delete_image=delete_image)
    pack_images = providers.Singleton(PackImages, images=images, contents=contents, clock=clock)
    export_images = providers.Singleton(
        ExportImages,
        images=images,
        image_maintenance=images,
        contents=contents,
        upload_contents=upload_contents,
        quarantine=contents,
    )
    import_uploads = providers.Singleton(
        ImportUploads,
        upload_contents=upload_contents,
        inspector=inspector,
        store_upload=providers.Singleton(
            StoreUpload,
            uploads=images,
            upload_store=upload_contents,
            inspector=inspector,
            max_size=CONTENT_MAX_SIZE,
            # The next image that refers to it may be far behind in the archive.
            hold_seconds=86_400.0,
        ),
    )
    import_images = providers.Singleton(
        ImportImages,
        images=images,
        deletions=images,
        contents=contents,
        quarantine=contents,
        inspector=inspector,
        import_uploads=import_uploads,
    )
    index_prompts = providers.Singleton(IndexPrompts, index=images)
    rebuild_indexes = providers.Singleton(RebuildIndexes, index=images)
    data_upgrades = providers.List(
        providers.Singleton(UpgradeTagIndex, index=images),
        providers.Singleton(UpgradeTags, images=images, image_maintenance=images, clock=clock),
        providers.Singleton(UpgradeWords, index=images),
        correct_sizes,
    )
    upgrade_data = providers.Singleton(UpgradeData, progress=upgrade_progress, upgrades=data_upgrades)
    check_readiness = providers.Singleton(CheckReadiness, dependencies=providers.List(images, contents, dispatcher))
    authenticate_user = providers.Singleton(
        AuthenticateUser,
        users=users,
        hasher=hasher,
        verified=verified,
        access=access_changes,
        allowance=providers.Singleton(LoginAllowance, wrong_logins=settings.provided.wrong_logins),
    )
    add_user = providers.Singleton(AddUser, users=users, hasher=hasher, clock=clock)
    create_first_user = providers.Singleton(CreateFirstUser, users=users, add_user=add_user)
    used_sessions = providers.Selector(settings.provided.gallery, on=sessions, off=providers.Object(None))
    change_password = providers.Singleton(
        ChangePassword, users=users, hasher=hasher, access=access_changes, sessions=used_sessions
    )
    disable_user = providers.Singleton(DisableUser, users=users, access=access_changes, sessions=used_sessions)
    enable_user = providers.Singleton(EnableUser, users=users, access=access_changes)
    open_session = providers.Singleton(
        OpenSession,
        authenticate_user=authenticate_user,
        sessions=sessions,
        clock=clock,
        guids=guids,
        tokens=tokens,
        lifetime=settings.provided.session_lifetime,
    )
    find_session = providers.Singleton(
        FindSession,
        sessions=sessions,
        users=users,
        clock=clock,
        access=access_changes,
        idle=settings.provided.session_idle_timeout,
    )
    end_session = providers.Singleton(EndSession, sessions=sessions, access=access_changes)
    end_sessions = providers.Singleton(EndSessions, sessions=sessions, users=users, access=access_changes)
    list_sessions = providers.Singleton(
        ListSessions, sessions=sessions, users=users, clock=clock, idle=settings.provided.session_idle_timeout
    )
    sweep_sessions = providers.Singleton(
        SweepSessions, sessions=sessions, clock=clock, idle=settings.provided.session_idle_timeout
    )
    authenticate_key = providers.Singleton(
        AuthenticateKey, keys=api_keys, users=users, clock=clock, access=access_changes
    )
    create_key = providers.Singleton(CreateKey, keys=api_keys, users=users, clock=clock, guids=guids, tokens=tokens)
    list_keys = providers.Singleton(ListKeys, keys=api_keys, users=users)
    find_key = providers.Singleton(FindKey, list_keys=list_keys)
    revoke_key = providers.Singleton(RevokeKey, keys=api_keys, clock=clock, access=access_changes)
    revoke_keys = providers.Singleton(RevokeKeys, list_keys=list_keys, revoke_key=revoke_key)
    rotate_link_key = providers.Singleton(RotateLinkKey, secrets=secrets, access=access_changes)
    list_users = providers.Singleton(ListUsers, users=users)


@asynccontextmanager
async def opened_stores(container: Container) -> AsyncIterator[None]:
    """Hold open the content stores."""
    async with AsyncExitStack() as stack:
        # The folder of the contents comes first: the others are in it.
        for contents in (container.contents(), container.upload_contents(), container.partial_contents()):
            stack.push_async_callback(contents.close)
            await contents.prepare()
        yield


@asynccontextmanager
async def opened(container: Container) -> AsyncIterator[Container]:
    """Hold open what the container's adapters need: the database's connections, the content store, the generator's."""
    async with AsyncExitStack() as stack:
        database = container.database()
        stack.push_async_callback(database.close)
        await database.open()
        await stack.enter_async_context(opened_stores(container))
        stack.push_async_callback(container.partial_images().close)
        stack.push_async_callback(container.generator().close)
        stack.push_async_callback(container.variant_maker().close)
        stack.push_async_callback(container.variant_flight().close)
        stack.push_async_callback(container.drawing_flight().close)
        seconds = container.settings().shutdown_timeout
        stack.push_async_callback(end_generations, container.dispatcher(), container.generations(), seconds)
        yield container

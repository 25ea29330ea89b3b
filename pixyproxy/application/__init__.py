"""The use cases of PixyProxy."""

from pixyproxy.application.add_user import AddUser
from pixyproxy.application.admit_uploads import AdmitUploads
from pixyproxy.application.authenticate_key import AuthenticateKey
from pixyproxy.application.authenticate_user import AuthenticateUser
from pixyproxy.application.change_image import ChangeImage
from pixyproxy.application.change_password import ChangePassword
from pixyproxy.application.check_consistency import CheckConsistency
from pixyproxy.application.check_readiness import CheckReadiness
from pixyproxy.application.check_uploads import CheckUploads
from pixyproxy.application.confirm_answer import ConfirmAnswer
from pixyproxy.application.copy_contents import CopyContents
from pixyproxy.application.correct_sizes import CorrectSizes
from pixyproxy.application.create_batch import CreateBatch
from pixyproxy.application.create_first_user import CreateFirstUser
from pixyproxy.application.create_image import CreateImage
from pixyproxy.application.create_key import CreateKey
from pixyproxy.application.delete_image import DeleteImage
from pixyproxy.application.delete_images import DeleteImages
from pixyproxy.application.disable_user import DisableUser
from pixyproxy.application.dispatcher import Dispatcher
from pixyproxy.application.enable_user import EnableUser
from pixyproxy.application.end_session import EndSession
from pixyproxy.application.end_sessions import EndSessions
from pixyproxy.application.export_images import ExportImages
from pixyproxy.application.fetch_reference import FetchReference
from pixyproxy.application.find_key import FindKey
from pixyproxy.application.find_pictures import FindPictures
from pixyproxy.application.find_session import FindSession
from pixyproxy.application.finish_deletions import FinishDeletions
from pixyproxy.application.follow_order import FollowOrder
from pixyproxy.application.generate_image import GenerateImage
from pixyproxy.application.get_batch import GetBatch
from pixyproxy.application.get_image import GetImage
from pixyproxy.application.get_image_content import GetImageContent
from pixyproxy.application.get_image_variant import GetImageVariant
from pixyproxy.application.get_partial_image import GetPartialImage
from pixyproxy.application.get_reference import GetReference
from pixyproxy.application.import_images import ImportImages
from pixyproxy.application.import_uploads import ImportUploads
from pixyproxy.application.index_prompts import IndexPrompts
from pixyproxy.application.list_images import ListImages
from pixyproxy.application.list_keys import ListKeys
from pixyproxy.application.list_models import ListModels
from pixyproxy.application.list_sessions import ListSessions
from pixyproxy.application.list_tags import ListTags
from pixyproxy.application.list_users import ListUsers
from pixyproxy.application.open_session import OpenSession
from pixyproxy.application.pack_images import PackImages
from pixyproxy.application.place_order import PlaceOrder
from pixyproxy.application.prepare_thumbnails import PrepareThumbnails
from pixyproxy.application.rebuild_indexes import RebuildIndexes
from pixyproxy.application.recover_images import RecoverImages
from pixyproxy.application.revoke_key import RevokeKey
from pixyproxy.application.revoke_keys import RevokeKeys
from pixyproxy.application.rotate_link_key import RotateLinkKey
from pixyproxy.application.set_visibility import SetVisibility
from pixyproxy.application.store_upload import StoreUpload
from pixyproxy.application.sweep_sessions import SweepSessions
from pixyproxy.application.sweep_uploads import SweepUploads
from pixyproxy.application.tag_images import TagImages
from pixyproxy.application.upgrade_data import UpgradeData
from pixyproxy.application.upgrade_tag_index import UpgradeTagIndex
from pixyproxy.application.upgrade_tags import UpgradeTags
from pixyproxy.application.upgrade_words import UpgradeWords
from pixyproxy.application.watch_image import WatchImage
from pixyproxy.application.watch_own_images import WatchOwnImages

__all__ = [
    "AddUser",
    "AdmitUploads",
    "AuthenticateKey",
    "AuthenticateUser",
    "ChangeImage",
    "ChangePassword",
    "CheckConsistency",
    "CheckReadiness",
    "CheckUploads",
    "ConfirmAnswer",
    "CopyContents",
    "CorrectSizes",
    "CreateBatch",
    "CreateFirstUser",
    "CreateImage",
    "CreateKey",
    "DeleteImage",
    "DeleteImages",
    "DisableUser",
    "Dispatcher",
    "EnableUser",
    "EndSession",
    "EndSessions",
    "ExportImages",
    "FetchReference",
    "FindKey",
    "FindPictures",
    "FindSession",
    "FinishDeletions",
    "FollowOrder",
    "GenerateImage",
    "GetBatch",
    "GetImage",
    "GetImageContent",
    "GetImageVariant",
    "GetPartialImage",
    "GetReference",
    "ImportImages",
    "ImportUploads",
    "IndexPrompts",
    "ListImages",
    "ListKeys",
    "ListModels",
    "ListSessions",
    "ListTags",
    "ListUsers",
    "OpenSession",
    "PackImages",
    "PlaceOrder",
    "PrepareThumbnails",
    "RebuildIndexes",
    "RecoverImages",
    "RevokeKey",
    "RevokeKeys",
    "RotateLinkKey",
    "SetVisibility",
    "StoreUpload",
    "SweepSessions",
    "SweepUploads",
    "TagImages",
    "UpgradeData",
    "UpgradeTagIndex",
    "UpgradeTags",
    "UpgradeWords",
    "WatchImage",
    "WatchOwnImages",
]

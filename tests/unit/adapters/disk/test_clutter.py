"""Which names belong to operating systems, file servers and other programs, and which may be an image's."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixyproxy.adapters.archive.records import ArchiveName
from pixyproxy.adapters.disk.clutter import is_clutter
from pixyproxy.domain.content import MediaType

CLUTTER = [
    ".DS_Store",
    "._.DS_Store",
    "._3f",
    "._3f2a1c1e-5d0e-4a39-9f43-5c8d3f6f2b11.png",
    ".AppleDouble",
    ".Spotlight-V100",
    ".Trashes",
    ".fseventsd",
    ".TemporaryItems",
    ".localized",
    "__MACOSX",
    "Icon\r",
    "Thumbs.db",
    "THUMBS.DB",
    "ehthumbs.db",
    "desktop.ini",
    "Desktop.ini",
    "$RECYCLE.BIN",
    "System Volume Information",
    "~$letter.docx",
    ".~lock.letter.odt#",
    "3f2a1c1e.json~",
    ".3f2a1c1e.json.swp",
    ".directory",
    ".Trash-1000",
    ".nfs000000000000002a00000001",
    ".fuse_hidden0000000200000001",
    ".goutputstream-X1Y2Z3",
    "lost+found",
    "@eaDir",
    "3f2a1c1e.png@SynoEAStream",
    "3f2a1c1e.png@SynoResource",
    "#recycle",
    "#snapshot",
    "@Recycle",
    ".@__thumb",
    ".snapshot",
    ".stfolder",
    ".syncthing.3f2a1c1e.png.tmp",
    ".dropbox.cache",
]


@pytest.mark.parametrize("name", CLUTTER)
def test_files_of_other_programs_are_clutter(name: str) -> None:
    assert is_clutter(name)


@pytest.mark.parametrize("name", ["", ".", "..", "README", "photos", "3f", "notes.txt", ".env", "\udcff", "a.png"])
def test_nothing_else_is_clutter(name: str) -> None:
    assert not is_clutter(name)


@given(guid=st.uuids(), suffix=st.sampled_from([".json", *(media_type.extension for media_type in MediaType)]))
def test_no_name_of_an_archive_is_clutter(guid: UUID, suffix: str) -> None:
    name = ArchiveName(guid, suffix)
    assert not is_clutter(name.folder)
    assert not is_clutter(name.filename)
    assert not is_clutter(f"{name.filename}.0123456789abcdef.part")

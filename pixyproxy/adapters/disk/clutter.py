"""Files that operating systems, file servers and other programs leave in folders."""

import re
from typing import Final

_NAMES: Final = frozenset(
    {
        # macOS
        ".ds_store",
        ".appledb",
        ".appledesktop",
        ".appledouble",
        ".apdisk",
        ".com.apple.timemachine.donotpresent",
        ".documentrevisions-v100",
        ".fseventsd",
        ".localized",
        ".lsoverride",
        ".metadata_never_index",
        ".pkinstallsandboxmanager",
        ".pkinstallsandboxmanager-systemsoftware",
        ".spotlight-v100",
        ".temporaryitems",
        ".trashes",
        ".volumeicon.icns",
        "__macosx",
        "icon\r",
        "network trash folder",
        "temporary items",
        # Windows
        "$recycle.bin",
        "desktop.ini",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "recycler",
        "system volume information",
        "thumbs.db",
        "thumbs.db:encryptable",
        # Linux
        ".directory",
        ".nomedia",
        ".thumbnails",
        "lost+found",
        # File servers: Synology, QNAP, NetApp, ZFS
        "#recycle",
        "#snapshot",
        ".@__thumb",
        ".snapshot",
        ".snapshots",
        ".zfs",
        "@eadir",
        "@recently-snapshot",
        "@recycle",
        "@tmp",
        # Folder synchronization
        ".dropbox",
        ".dropbox.attr",
        ".dropbox.cache",
        ".stfolder",
        ".stignore",
        ".stversions",
        ".sync",
    }
)
_PATTERNS: Final = re.compile(
    r"\._.*"  # macOS: metadata, on file systems that can't store it
    r"|~\$.*|.*~|\.~lock\..*#|\..*\.sw[a-z]"  # lock and swap files of editors
    r"|.*@syno(?:eastream|resource)"  # Synology
    r"|\.trash-\d+|\.fuse_hidden.*|\.nfs[0-9a-f]+|\.goutputstream-.*"  # Linux
    r"|[.~]syncthing[.~].*",
    re.DOTALL,
)


def is_clutter(name: str) -> bool:
    """Whether a file or folder of this name belongs to an operating system, a file server or another program.

    Takes the name without its path. Ignores case, since the file systems that such names come from do.
    """
    folded = name.casefold()
    return folded in _NAMES or _PATTERNS.fullmatch(folded) is not None

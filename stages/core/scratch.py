"""A stage's own folder for all that is temporary: what a killed stage leaves there, the next one removes."""

import atexit
import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = ".stage-tmp-"
LOCK = "lock"

_folder: Path | None = None


@contextmanager
def folder() -> Iterator[None]:
    """Keep what this process and those it starts have in temporary files in a new folder, until the block ends.

    The folder is in the current one, where the results are: so a file can be renamed from it into its place. Before,
    those that are there already are removed, unless a process that lives holds them.
    """
    global _folder
    remove_left(Path())
    try:
        made, lock = _made()
    except OSError:
        # Nothing can be written here; whoever has to will say what.
        yield
        return
    before = _folder, tempfile.tempdir, os.environ.get("TMPDIR")
    _folder, tempfile.tempdir, os.environ["TMPDIR"] = made, str(made), str(made)
    try:
        yield
    finally:
        _folder, tempfile.tempdir, variable = before
        del os.environ["TMPDIR"]
        if variable is not None:
            os.environ["TMPDIR"] = variable
        shutil.rmtree(made, ignore_errors=True)
        # What libraries would remove when the process ends, and complain about, was in it: Matplotlib's cache where the
        # home cannot be written.
        atexit.unregister(shutil.rmtree)
        os.close(lock)


def remove_left(parent: Path) -> None:
    """Remove the folders in `parent` that stages made and no living one holds."""
    for left in parent.glob(f"{PREFIX}*"):
        # Not to be had: held, removed meanwhile, or of another user.
        with contextlib.suppress(OSError):
            if (left / LOCK).exists():
                lock = _locked(left / LOCK, os.O_RDWR)
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)
            else:
                # Of a stage that was killed before it could lock it, or no folder of a stage and so not empty.
                left.rmdir()


def _made() -> tuple[Path, int]:
    """A new folder and the handle of its lock."""
    while True:
        made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=Path.cwd()))
        try:
            return made, _locked(made / LOCK, os.O_RDWR | os.O_CREAT)
        except (FileNotFoundError, BlockingIOError):
            # A stage that started at the same time took it for left behind.
            continue
        except OSError:
            shutil.rmtree(made, ignore_errors=True)
            raise


def _locked(path: Path, flags: int) -> int:
    """The handle of the file at `path`, which no other process holds and no other has removed.

    The kernel lets go of it when this process ends, however it ends.
    """
    handle = os.open(path, flags, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    except OSError:
        os.close(handle)
        raise
    return handle


def write(path: Path, content: bytes) -> None:
    """Write `content` to a temporary file, then rename it to `path`: a killed process leaves no half file.

    Raises
    ------
    OSError
        When it cannot be written, `path` as its file name; what was there before is there still.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _replace(path, content, _folder or path.parent)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # The file's folder is on another disk than the pipeline's.
            _replace(path, content, path.parent)
    except OSError as error:
        blocked = error.filename if error.filename and Path(error.filename) in path.parents else None
        reason = f"{blocked}: {error.strerror}" if blocked else error.strerror
        raise OSError(error.errno, f"cannot be written: {reason}", str(path)) from error


def _replace(path: Path, content: bytes, folder: Path) -> None:
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

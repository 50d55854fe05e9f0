"""Fixtures that several tests use: the root of the repository, MNIST, a browser."""

from stages.base import processor

processor.apply()  # before anything imports NumPy, which reads its settings then

import shutil  # noqa: E402
import signal  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from contextlib import suppress  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import pooch  # noqa: E402
import pytest  # noqa: E402
from counts import Counts  # noqa: E402
from filelock import FileLock  # noqa: E402
from selenium import webdriver  # noqa: E402

from stages.base import files  # noqa: E402
from stages.base.errors import UserError  # noqa: E402
from stages.data import mnist, sources  # noqa: E402

ROOT = Path(__file__).parents[1]
LIMIT = 240
# Scripts as people write them, for the tests of recording.
collect_ignore = ["scripts"]
CHROMIUM = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
)

# A shell starts background processes with Ctrl-C ignored, and what the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def raw_mnist() -> dict[str, np.ndarray]:
    """The real MNIST, from the user's cache if the digests of its files are right."""
    cached = Path(pooch.os_cache("whichfix"), "mnist.npz")
    cached.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{cached}.lock"):  # one of the test processes fetches
        if cached.is_file():
            with suppress(KeyError, ValueError, UserError):
                arrays = files.read_archive(cached)
                contents = {name: mnist.idx_bytes(arrays[array]) for name, array in mnist.ARRAY_OF_FILE.items()}
                return mnist.parse(contents, mnist.DIGESTS)
        arrays = sources.fetch(sources.ways(), mnist.DIGESTS)
        files.replace_bytes(cached, files.archive_bytes(arrays))
        return arrays


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A browser without a window; skips if there is none."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = str(programs[0])
    for flag in (*CHROMIUM, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs[1]))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def limited() -> Iterator[None]:
    """End a test after `LIMIT` seconds, because it would wait for a server that hangs for ever."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"not done after {LIMIT} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the longest test, the pipeline end to end, because the other process runs the rest meanwhile.

    Reports of tests travel between processes with their properties, but without their marks.
    """
    items.sort(key=lambda item: item.path.name != "test_end_to_end.py")
    for item in items:
        if mark := item.get_closest_marker("tried"):
            item.user_properties.append(("tried", mark.args[0]))


def pytest_configure(config: pytest.Config) -> None:
    """Count in the process that hears of every test."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Counts())

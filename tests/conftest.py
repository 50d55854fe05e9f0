"""What several tests use: the repository's root, its parameters, and MNIST, fetched once a machine."""

import stages  # noqa: F401  # isort: skip  # before NumPy, which reads its settings when it is imported

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pooch
import pytest
from miniature import Miniature, run_pipeline
from selenium import webdriver

from stages import fetch
from stages.core import files, params
from stages.core.digits import ARRAY_OF_FILE, Dataset, idx_bytes, sha256

ROOT = Path(__file__).parents[1]
LIMIT = 240
CHROMIUM = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
)

# A shell lets what it starts in the background ignore Ctrl-C, and so would do what tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def settings() -> params.Params:
    return params.load(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def raw_mnist(settings: params.Params) -> Dataset:
    """The real MNIST, from the user's cache when the digests of its files are right."""
    cached = Path(pooch.os_cache("whichfix"), "mnist.npz")
    digests = settings.sources.files
    if cached.is_file():
        arrays = files.read_npz(cached)
        if all(sha256(idx_bytes(arrays[array])) == digests[name] for name, array in ARRAY_OF_FILE.items()):
            return arrays
    arrays = fetch.fetch(settings.sources, os.environ.get(fetch.FOLDER_VARIABLE))
    files.write_npz(cached, arrays)
    return arrays


@pytest.fixture(scope="session")
def miniature(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    """The pipeline, run in small on made-up digits; to be read, not changed."""
    return run_pipeline(root, tmp_path_factory.mktemp("miniature"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A browser without a window; skips where there is none."""
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
def counted() -> Callable[[str, int], None]:
    """Compare how many faults of a kind a test has tried with tests/counts.json, which the README cites.

    With WHICHFIX_COUNTS=write the number is written there instead, one test process at a time.
    """

    def compare(kind: str, number: int) -> None:
        path = ROOT / "tests" / "counts.json"
        held = files.read_json(path)
        if os.environ.get("WHICHFIX_COUNTS") == "write":
            files.write_json(path, held | {kind: number})
        else:
            assert held[kind] == number, kind

    return compare


@pytest.fixture
def limited() -> Iterator[None]:
    """Ends a test after `LIMIT` seconds: what waits for a server that hangs would wait for ever."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"not done after {LIMIT} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with what takes longest, the pipeline end to end: the other process runs the rest meanwhile."""
    items.sort(key=lambda item: item.path.name != "test_end_to_end.py")

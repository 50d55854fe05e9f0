"""`dask worker` and its options, under the settings of `runtime`: python -m stages.core.worker tcp://host:8786.

They have to be there when the process starts: Dask imports NumPy before anything that it can be told to preload.
"""

from stages.core import cluster, errors


def main() -> None:
    """Be the worker that the command line asks for."""
    try:
        import dask
        from distributed.cli.dask_worker import main as dask_worker
    except ImportError:
        raise errors.UserError(f"Dask is not installed; {cluster.INSTALL}") from None
    # What XLA compiles is never freed: a worker that pauses because it is nearly full would pause for good. One that is
    # full is started anew, as without Dask.
    dask.config.set({"distributed.worker.memory.pause": False})
    dask_worker()


if __name__ == "__main__":
    with errors.one_line():
        main()

"""The ways to train that `benchmarks.loop` times. Each module is run as a process of its own."""

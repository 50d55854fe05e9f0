"""What `benchmarks.loop` times: a module a row, each run as a process of its own."""

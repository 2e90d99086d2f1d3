"""The messages of YDB's API, which come with the package ydb."""

from vicinal.errors import need

need("ydb", extra="ydb")

from ydb._grpc.common import (  # noqa: E402
    ydb_auth_v1_pb2,
    ydb_discovery_v1_pb2,
    ydb_operation_v1_pb2,
    ydb_query_v1_pb2,
    ydb_scheme_v1_pb2,
    ydb_table_v1_pb2,
)
from ydb._grpc.common.protos import (  # noqa: E402
    ydb_auth_pb2,
    ydb_discovery_pb2,
    ydb_operation_pb2,
    ydb_query_pb2,
    ydb_scheme_pb2,
    ydb_status_codes_pb2,
    ydb_table_pb2,
    ydb_value_pb2,
)

SERVICES = (
    ydb_auth_v1_pb2,
    ydb_discovery_v1_pb2,
    ydb_operation_v1_pb2,
    ydb_query_v1_pb2,
    ydb_scheme_v1_pb2,
    ydb_table_v1_pb2,
)
Status = ydb_status_codes_pb2.StatusIds
__all__ = [
    "SERVICES",
    "Status",
    "ydb_auth_pb2",
    "ydb_discovery_pb2",
    "ydb_operation_pb2",
    "ydb_query_pb2",
    "ydb_scheme_pb2",
    "ydb_table_pb2",
    "ydb_value_pb2",
]

"""YDB's API over an embedded database, for YDB's own clients.

messages        the API's messages, of the package ydb
values          types and values as messages
answers         errors as statuses and issues
limits, paths   limits; paths as names of tables
connections     connections to the database with transactions
sessions        sessions, transactions, timeouts
execution       statements in them
results         rows as messages
..._service     the services, and table_schema and table_rows of the table service
endpoint        RPCs to their methods
server          the server
"""

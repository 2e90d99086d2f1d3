#!/usr/bin/env bash
# ray.init(address="HOST:PORT") tries for minutes where nothing listens, although the connection is refused at once.
#
# Versions:  ray 2.60.0
# Expected:  a refused connection is an error within seconds, as with address="auto" (ConnectionError in 10 ms).
# Behaviour: the client of the control store waits about half a minute, and is made anew twenty times
#            (RAY_NUM_REDIS_GET_RETRIES), with nothing on the screen at logging_level="ERROR": about nine minutes in all.
# Output seen:
#   auto: ConnectionError within 5 s
#   127.0.0.1:1: no answer within 60 s
# So vicinal opens a connection to the port itself before it calls ray.init.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ray==2.60.0"
cd "$folder"
for place in auto:5 127.0.0.1:1:60; do
    address=${place%:*} seconds=${place##*:}
    timeout "$seconds" venv/bin/python - "$address" "$seconds" <<'PYTHON' || echo "$address: no answer within $seconds s"
import os
import sys

os.environ.pop("RAY_ADDRESS", None)
import ray

address, seconds = sys.argv[1:]
try:
    ray.init(address=address, logging_level="ERROR", log_to_driver=False)
except ConnectionError as error:
    print(f"{address}: {type(error).__name__} within {seconds} s")
PYTHON
done

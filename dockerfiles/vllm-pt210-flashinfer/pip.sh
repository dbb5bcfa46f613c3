#!/bin/sh
# Install into /opt/venv, with the network that the build was given (see the head of the Dockerfile). The same file
# lies in every folder that needs it, because a folder is all that `docker build` sees; a test holds them together.
set -eu
if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi
if [ -f /run/secrets/build_env ]; then
  set -a
  # shellcheck source=/dev/null
  . /run/secrets/build_env
  set +a
fi
exec /opt/pip/bin/pip --disable-pip-version-check --no-input --python /opt/venv/bin/python \
  install --find-links /wheels --constraint /opt/blackstack/constraints.txt "$@"

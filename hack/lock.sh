#!/usr/bin/env bash
# Resolve every dependency again. The locks carry hashes and no download address, so that they
# install from any mirror; images and `make` install from them and from nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
compile() {
  "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-header --no-annotate \
    --no-emit-package orchestrator-core --no-emit-package orchestrator-api \
    --no-emit-package orchestrator-worker --no-emit-package orchestrator-operator \
    --no-emit-package orchestrator-demo-tasks "$@"
}
compile --group dev pyproject.toml --output-file requirements/dev.txt
compile --constraint requirements/dev.txt --group build --output-file requirements/build.txt
echo uv | compile --constraint requirements/dev.txt - --output-file requirements/bootstrap.txt
for image in api worker operator; do
  compile --constraint requirements/dev.txt "$image/pyproject.toml" --output-file "requirements/$image.txt"
done
compile --constraint requirements/dev.txt requirements/bench.in --output-file requirements/bench.txt

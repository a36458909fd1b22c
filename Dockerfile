# The locked environment and the project; results stay in the mounted folder.
#   docker build -t firstorder .
#   docker run --rm -v "$PWD/results:/firstorder/results" firstorder
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /firstorder
# The environment first: a layer of its own, rebuilt only when the lock changes.
COPY envs envs
COPY Makefile pyproject.toml LICENSE README.md ./
COPY src/firstorder/__init__.py src/firstorder/__init__.py
RUN make env && rm -rf ~/.cache
COPY . .
CMD ["make"]

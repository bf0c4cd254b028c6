# The services' image: one for all of them, told apart by AGENTSPAN_ROLES. Nothing in it is root's to run, and nothing but
# /data and /tmp is written: give it a read-only file system.
#
#   docker build -t agentspan .
#
# It listens on its own loopback until it is told what stands in front of it: docs/deployment.md.

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/agentspan
# the pins alone first: they change less often than the code. They are those of Kafka, Bedrock and Vertex AI, too
COPY requirements/build.txt requirements/server.txt /src/requirements/
RUN pip install --require-hashes --only-binary :all: -r /src/requirements/build.txt \
    && /opt/agentspan/bin/pip install --require-hashes --only-binary :all: -r /src/requirements/server.txt
COPY . /src
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels /src \
    && /opt/agentspan/bin/pip install --no-deps --no-index /wheels/agentspan-*.whl \
    && /opt/agentspan/bin/pip check

FROM python:3.11-slim
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin agentspan \
    && install -d -o agentspan -g agentspan -m 0700 /data
COPY --from=build /opt/agentspan /opt/agentspan
ENV PATH=/opt/agentspan/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 AGENTSPAN_DATA=/data
USER 10001:10001
WORKDIR /data
EXPOSE 6767
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('AGENTSPAN_PORT', '6767') + '/livez', timeout=4)"]
ENTRYPOINT ["agentspan"]
CMD ["server", "start"]

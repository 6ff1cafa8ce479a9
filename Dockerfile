FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv /venv
COPY requirements/run.txt requirements/
RUN /venv/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md ./
COPY src src
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim
RUN useradd --system --no-create-home --uid 10001 fitness \
    && install --directory --owner 10001 --mode 700 /var/lib/fitness/objects
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH
USER 10001
EXPOSE 8000 9100
ENTRYPOINT ["fitness"]
CMD ["serve"]

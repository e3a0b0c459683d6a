# The command line in a container:
#
#     docker build -t scggml .
#     docker run --rm -v "$PWD:/data" scggml learn cohort.h5ad --sample-key sample_id --label-key label -o learned.h5ad
FROM python:3.12-slim

ENV NUMBA_CACHE_DIR=/opt/numba MPLCONFIGDIR=/opt/matplotlib PIP_NO_CACHE_DIR=1

WORKDIR /opt/scggml
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install .

# Compile once what numba compiles, so that no run waits for it.
RUN mkdir -p /opt/numba /opt/matplotlib \
 && scggml demo-cohort /tmp/cohort.h5ad --n-samples 4 --n-cells 20 --n-genes 40 \
 && scggml learn /tmp/cohort.h5ad --sample-key sample_id --label-key label --use-rep X_pca -o /tmp/learned.h5ad \
 && rm /tmp/cohort.h5ad /tmp/learned.h5ad \
 && chmod -R a+rwX /opt/numba /opt/matplotlib

WORKDIR /data
ENTRYPOINT ["scggml"]

"""The text of the files that an operator of TensorFlow Serving needs.

Filled by `operator_files`; `{name}` stands for what it fills in.
"""

# TensorFlow Serving's newest image. It loads what newer TensorFlows export
# as long as their graphs use no newer op.
IMAGE = "tensorflow/serving:2.20.0"
JEMALLOC = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"

MODELS_CONFIG = """\
# Which models to serve: a ModelServerConfig in protobuf's text format.
# --model_config_file names this file.
model_config_list {{
  config {{
    name: "{model}"
    # Absolute, and as the container sees it; relative paths are refused.
    base_path: "/models/{model}"
    model_platform: "tensorflow"
    # The newest version only. While a new one loads, the old one still
    # answers: two are in memory for that time. latest {{ num_versions: 2 }}
    # would keep two always, and three while one loads.
    model_version_policy {{ latest {{ num_versions: 1 }} }}
    # To roll back, or to hold a version, take this line instead:
    # model_version_policy {{ specific {{ versions: {version} }} }}
    #
    # Labels give versions names that clients can ask for. A label must name a
    # version that is loaded already: in a file that the server starts with it
    # makes the server exit. So start without, then add the lines; the file is
    # read again every {config_poll} seconds.
    # version_labels {{ key: "stable" value: {version} }}
  }}
}}
"""

MONITORING_CONFIG = """\
# Prometheus metrics, on the REST port: a MonitoringConfig in text format.
# --monitoring_config_file names this file. Watch
# :tensorflow:serving:request_count (by status) and request_latency, and
# :tensorflow:cc:saved_model:load_latency at each new version.
prometheus_config {{
  enable: true
  path: "/monitoring/prometheus/metrics"
}}
"""

BATCHING_CONFIG = """\
# How requests are merged: BatchingParameters in text format. Only read with
# --enable_batching --batching_parameters_file=/config/batching.config, which
# the commands here leave out: merging helps where many clients send a few
# rows each, and costs latency where requests have a hundred rows or more.
# Measure both. Signatures that mix inputs of one row and of many (`rank`)
# cannot be served with batching: all inputs must have the same rows.
#
# The warm-up requests of a version run through the batches too; one that
# fails keeps the version from being served.
{warm_up}
#
# Rows of a request at most, before it is split, see below. Larger ones are
# refused; clients can send fewer at a time (`max_rows`).
max_batch_size {{ value: {max_batch_size} }}
# How long the first request of a batch waits for others, in microseconds.
batch_timeout_micros {{ value: 1000 }}
# Batches that wait at most; beyond, requests fail as UNAVAILABLE at once,
# which is better than answers that come too late.
max_enqueued_batches {{ value: 100 }}
# Batches computed at once. About the number of cores.
num_batch_threads {{ value: {cores} }}
# Split larger requests instead of refusing them.
enable_large_batch_splitting {{ value: true }}
max_execution_batch_size {{ value: 512 }}
# No allowed_batch_sizes: each batch would be padded up to one of them.
"""

DOCKERFILE = """\
# The official image with jemalloc. With glibc's allocator the memory of old
# versions is given back late: after three switches of a 78 MB model the
# server held 1108 MB against 802 MB, and peaked at 1110 against 828.
FROM {image}
RUN apt-get update \\
    && apt-get install --yes --no-install-recommends libjemalloc2 \\
    && rm -rf /var/lib/apt/lists/*
ENV LD_PRELOAD={jemalloc}
"""

# A flag and why. The image's entry point sets --port=8500 --rest_api_port=8501.
FLAGS = (
    (
        "--model_config_file=/config/models.config",
        "The models; takes the place of --model_name and --model_base_path.",
    ),
    (
        "--model_config_file_poll_wait_seconds={config_poll}",
        "Read that file again this often, for labels and roll-backs.",
    ),
    (
        "--monitoring_config_file=/config/monitoring.config",
        "Metrics for Prometheus on the REST port.",
    ),
    (
        "--file_system_poll_wait_seconds=10",
        "Look for new versions this often; every second (the default) is "
        "much for a network disk.",
    ),
    (
        "--num_load_threads=2",
        "Load beside the thread that manages versions. With the default, 0, "
        "a version that keeps failing to load blocks everything else, a "
        "roll-back too.",
    ),
    (
        "--max_num_load_retries=2",
        "A version that does not load will hardly do so the sixth time "
        "(default: 5 retries, a minute apart).",
    ),
    (
        "--load_retry_interval_micros=10000000",
        "Ten seconds between those tries.",
    ),
    (
        "--tensorflow_inter_op_parallelism={cores}",
        "Ops run at once. TensorFlow counts the machine's cores, not the "
        "container's share: keep it to the CPUs asked for.",
    ),
    (
        "--tensorflow_intra_op_parallelism={cores}",
        "Threads for one op, likewise.",
    ),
)

KUBERNETES = """\
# kubectl apply -f kubernetes.yaml
#
# Before: build the image from the Dockerfile beside this file and put its
# name below; put the exported versions on the volume that the claim
# {resource}-models names, as <version>/saved_model.pb. Publish there as the
# export does: write beside, then rename, so that no half-written version is
# ever seen.
apiVersion: v1
kind: ConfigMap
metadata:
  name: {resource}-config
data:
  models.config: |
{models_config}
  monitoring.config: |
{monitoring_config}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {resource}
spec:
  replicas: 2
  selector:
    matchLabels:
      app: {resource}
  template:
    metadata:
      labels:
        app: {resource}
    spec:
      # Requests under way are finished before the pod ends.
      terminationGracePeriodSeconds: 60
      containers:
        - name: serving
          # Yours, with jemalloc (LD_PRELOAD); {image} works
          # without, and takes more memory.
          image: {model_image}
          args:
{args}
          ports:
            - name: grpc
              containerPort: 8500
            - name: rest
              containerPort: 8501
          # The ports open once the model is loaded and warm. Up to ten
          # minutes for that.
          startupProbe:
            tcpSocket:
              port: grpc
            periodSeconds: 5
            failureThreshold: 120
          # Takes no traffic while the model has no version to answer with.
          readinessProbe:
            httpGet:
              path: /v1/models/{model}/metadata
              port: rest
            periodSeconds: 5
            timeoutSeconds: 5
          # Restarted only if the port is dead for a minute: a load that
          # keeps all cores busy must not be taken for that.
          livenessProbe:
            tcpSocket:
              port: grpc
            periodSeconds: 10
            failureThreshold: 6
          resources:
            # {memory_reason}
            # So: {base_mb} MB and four times its files; the limit leaves half
            # as much again for requests.
            requests:
              cpu: "{cores}"
              memory: {memory_request}Mi
            # No CPU limit: throttled threads are what latency spikes are
            # made of.
            limits:
              memory: {memory_limit}Mi
          volumeMounts:
            - name: models
              mountPath: /models/{model}
              readOnly: true
            - name: config
              mountPath: /config
              readOnly: true
      volumes:
        - name: models
          persistentVolumeClaim:
            claimName: {resource}-models
            readOnly: true
        - name: config
          configMap:
            name: {resource}-config
---
# Headless: gRPC clients keep one connection open, which a common Service
# would pin to one pod. Give clients the address
# dns:///{resource}:8500 and they see all pods; or put a proxy that speaks
# gRPC before them.
apiVersion: v1
kind: Service
metadata:
  name: {resource}
spec:
  clusterIP: None
  selector:
    app: {resource}
  ports:
    - name: grpc
      port: 8500
    - name: rest
      port: 8501
"""

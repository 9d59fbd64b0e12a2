# Written to $output: Dockerfile, batching.config, kubernetes.yaml, models.config, monitoring.config.
# The newest version is $version_name. What the flags are for:
# --model_config_file=/config/models.config: The models; takes the place of
# --model_name and --model_base_path.
# --model_config_file_poll_wait_seconds=60: Read that file again this often,
# for labels and roll-backs.
# --monitoring_config_file=/config/monitoring.config: Metrics for Prometheus
# on the REST port.
# --file_system_poll_wait_seconds=10: Look for new versions this often; every
# second (the default) is much for a network disk.
# --num_load_threads=2: Load beside the thread that manages versions. With the
# default, 0, a version that keeps failing to load blocks everything else, a
# roll-back too.
# --max_num_load_retries=2: A version that does not load will hardly do so the
# sixth time (default: 5 retries, a minute apart).
# --load_retry_interval_micros=10000000: Ten seconds between those tries.
# --tensorflow_inter_op_parallelism=$cores: Ops run at once. TensorFlow counts the
# machine's cores, not the container's share: keep it to the CPUs asked for.
# --tensorflow_intra_op_parallelism=$cores: Threads for one op, likewise.
$no_warm_up#
# With jemalloc: `docker build -t $image $config`, then
# $image in place of tensorflow/serving:2.20.0.
docker run --rm -p 8500:8500 -p 8501:8501 \
  -v $here:/models/$model:ro \
  -v $config:/config:ro \
  tensorflow/serving:2.20.0 \
  --model_config_file=/config/models.config \
  --model_config_file_poll_wait_seconds=60 \
  --monitoring_config_file=/config/monitoring.config \
  --file_system_poll_wait_seconds=10 \
  --num_load_threads=2 \
  --max_num_load_retries=2 \
  --load_retry_interval_micros=10000000 \
  --tensorflow_inter_op_parallelism=$cores \
  --tensorflow_intra_op_parallelism=$cores
# Then, for example:
# $predict

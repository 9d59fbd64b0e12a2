"""The real server's flags that have no meaning here."""

import pytest

from deepfm_tf.serving.server.flags import Options, parse_flags
from deepfm_tf.serving.server.unused_flags import UNUSED_FLAGS

# What tensorflow_model_server's main.cc declares and this server has no use
# for, with a value that asks for something.
FOREIGN = [
    "--rest_api_enable_cors_support",
    "--enable_per_model_batching_parameters=true",
    "--num_unload_threads=1",
    "--flush_filesystem_caches=false",
    "--tensorflow_session_config_file=session.config",
    "--use_alts_credentials=false",
    "--platform_config_file=platform.config",
    "--per_process_gpu_memory_fraction=0.5",
    "--remove_unused_fields_from_bundle_metagraph=false",
    "--prefer_tflite_model",
    "--num_tflite_pools=2",
    "--num_tflite_interpreters_per_pool=2",
    "--xla_cpu_compilation_enabled",
    "--xla_gpu_compilation_enabled",
    "--enable_profiler",
    "--thread_pool_factory_config_file=threads.config",
    "--mixed_precision=bfloat16",
    "--skip_initialize_tpu",
]


@pytest.mark.parametrize("flag", FOREIGN)
def test_a_flag_without_a_meaning_here_is_told_in_a_line(flag, caplog):
    options = parse_flags([flag, "--model_base_path=/models/toy"])

    assert options == Options(model_base_path="/models/toy")
    (record,) = caplog.records
    name = flag.partition("=")[0]
    assert record.getMessage().startswith(f"{name} has no effect in this")


def test_none_of_them_is_an_option_too():
    assert not UNUSED_FLAGS.keys() & vars(Options()).keys()

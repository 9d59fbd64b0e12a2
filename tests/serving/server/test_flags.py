"""The command line of tensorflow_model_server."""

import dataclasses

import pytest

from deepfm_tf.serving.server.flags import (
    UNUSED_FLAGS,
    Options,
    help_text,
    parse_flags,
)

BASE = "--model_base_path=/models/toy"


def test_defaults_are_those_of_the_real_server():
    options = parse_flags([BASE])

    assert options.port == 8500
    assert options.rest_api_port == 0
    assert options.model_name == "default"
    assert options.file_system_poll_wait_seconds == 1
    assert options.max_num_load_retries == 5
    assert options.load_retry_interval_micros == 60_000_000
    assert options.rest_api_timeout_in_ms == 30_000
    assert not options.enable_grpc_healthcheck_service


HEALTH = "enable_grpc_healthcheck_service"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--port=9000"], {"port": 9000}),
        (["--port", "9000"], {"port": 9000}),
        (["-port=9000"], {"port": 9000}),
        (["--model_name", "ctr"], {"model_name": "ctr"}),
        (["--file_system_poll_wait_seconds=-1"],
         {"file_system_poll_wait_seconds": -1}),
        ([f"--{HEALTH}"], {HEALTH: True}),
        ([f"--{HEALTH}=true"], {HEALTH: True}),
        ([f"--{HEALTH}=False"], {HEALTH: False}),
        ([f"--{HEALTH}", "false"], {HEALTH: False}),
        ([f"--{HEALTH}", "--port=1"], {HEALTH: True, "port": 1}),
        (["--grpc_channel_arguments=a=1,b=x"],
         {"grpc_channel_arguments": "a=1,b=x"}),
    ],
)  # fmt: skip
def test_flags_are_read_in_every_form(arguments, expected):
    options = parse_flags([BASE, *arguments])

    for name, value in expected.items():
        assert getattr(options, name) == value


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--model_base_pth=x"], "--model_base_pth. Did you mean --model_base"),
        (["--num_unlod_threads=1"], "Did you mean --num_unload_threads?"),
        (["--enable_modl_warmup"], "Did you mean --enable_model_warmup?"),
        ([BASE, "--num_unload_threads=x"], "must be a whole number.*'x'"),
        ([BASE, "--enable_profiler=x"], "must be true or false.*'x'"),
        (
            [BASE, "--per_process_gpu_memory_fraction=half"],
            "must be a number. Received: 'half'",
        ),
        ([BASE, "--use_alts_credentials"], "would answer without encryption"),
        (["--zzz"], "^Unknown flag: --zzz. --help lists the flags.$"),
        (["serve"], "must be a flag. Received: 'serve'"),
        ([BASE, "--port=http"], "--port must be a whole number.*'http'"),
        ([BASE, "--port=70000"], "from 0 to 65535. Received: 70000"),
        ([BASE, "--port"], "--port must have a value"),
        ([BASE, "--enable_model_warmup=maybe"], "true or false.*'maybe'"),
        ([], "neither --model_base_path nor --model_config_file"),
        ([BASE, "--port=1", "--rest_api_port=1"], "must differ.*1 for both"),
        (
            [
                BASE,
                "--tensorflow_session_parallelism=2",
                "--tensorflow_inter_op_parallelism=2",
            ],
            "--tensorflow_session_parallelism must come alone",
        ),
        (
            [BASE, "--grpc_channel_arguments=a=1,grpc.x"],
            "must be key=value,key=value. Received: 'grpc.x' in it",
        ),
        (
            [BASE, "--tensorflow_intra_op_parallelism=-1"],
            "--tensorflow_intra_op_parallelism must be from 0 to",
        ),
    ],
)
def test_a_wrong_command_line_is_explained(arguments, error):
    with pytest.raises(ValueError, match=error):
        parse_flags(arguments)


def test_the_flags_of_the_real_server_that_have_one_are_silent(caplog):
    flags = ["--rest_api_num_threads=3", "--enable_model_warmup=false"]

    options = parse_flags([BASE, *flags, "--saved_model_tags=serve,gpu"])

    assert options.rest_api_num_threads == 3
    assert not options.enable_model_warmup
    assert options.saved_model_tags == "serve,gpu"
    assert not caplog.records


def test_the_help_shows_every_flag_once():
    text = help_text()

    for field in dataclasses.fields(Options):
        assert text.count(f"\n  --{field.name}=") == 1
    assert text.count("\n  --") == len(dataclasses.fields(Options))


# What tensorflow_model_server's main.cc declares and this server has no use
# for, with a value that asks for something.
FOREIGN = """
--enable_batching --batching_parameters_file=batching.config
--enable_per_model_batching_parameters=true --rest_api_enable_cors_support
--num_unload_threads=1 --flush_filesystem_caches=false
--tensorflow_session_config_file=session.config --use_alts_credentials=false
--platform_config_file=platform.config --per_process_gpu_memory_fraction=0.5
--remove_unused_fields_from_bundle_metagraph=false --prefer_tflite_model
--num_tflite_pools=2 --num_tflite_interpreters_per_pool=2
--xla_cpu_compilation_enabled --xla_gpu_compilation_enabled --enable_profiler
--thread_pool_factory_config_file=threads.config --mixed_precision=bfloat16
--skip_initialize_tpu
""".split()


@pytest.mark.parametrize("flag", FOREIGN)
def test_a_flag_without_a_meaning_here_is_told_in_a_line(flag, caplog):
    options = parse_flags([flag, "--model_base_path=/models/toy"])

    assert options == Options(model_base_path="/models/toy")
    (record,) = caplog.records
    name = flag.partition("=")[0]
    assert record.getMessage().startswith(f"{name} has no effect in this")


def test_no_flag_without_a_meaning_is_an_option_too():
    assert not UNUSED_FLAGS.keys() & vars(Options()).keys()

"""What is counted, under the real server's names."""

import threading

from deepfm_tf.serving.server.metrics import Metrics


def test_requests_are_counted_by_model_and_status():
    metrics = Metrics()

    metrics.add_request("ctr", "predict", "GRPC", "OK", 0.002)
    metrics.add_request("ctr", "predict", "REST", "OK", 0.004)
    metrics.add_request("ctr", "predict", "GRPC", "NOT_FOUND", 0.001)

    lines = metrics.text().decode().splitlines()
    count = ":tensorflow:serving:request_count"
    latency = ":tensorflow:serving:request_latency"
    labels = '{API="predict",entrypoint="REST",model_name="ctr"}'
    assert f"# TYPE {count} counter" in lines
    assert f'{count}{{model_name="ctr",status="OK"}} 2.0' in lines
    assert f'{count}{{model_name="ctr",status="NOT_FOUND"}} 1.0' in lines
    assert f"# TYPE {latency} histogram" in lines
    assert f"{latency}_sum{labels} 4000.0" in lines
    assert f"{latency}_count{labels} 1.0" in lines


def test_the_other_metrics_have_the_real_servers_names():
    metrics = Metrics()

    metrics.add_run("ctr", "Predict", 0.001)
    metrics.add_examples("ctr", 3)
    metrics.add_load("/m/1", True, 2.0)
    metrics.add_load("/m/1", False, 2.0)
    metrics.add_warmup("/m/1", "OK", 0.5)

    text = metrics.text().decode()
    for line in (
        ':tensorflow:serving:runtime_latency_count{API="Predict",'
        'model_name="ctr",runtime="TF1"} 1.0',
        ':tensorflow:serving:request_example_counts_sum{model="ctr"} 3.0',
        ':tensorflow:serving:request_example_count_total{model="ctr"} 3.0',
        "# TYPE :tensorflow:serving:request_example_count_total counter",
        ':tensorflow:cc:saved_model:load_latency{model_path="/m/1"} 2e+06',
        ":tensorflow:cc:saved_model:load_attempt_count"
        '{model_path="/m/1",status="fail"} 1.0',
        ":tensorflow:serving:model_warmup_latency_sum"
        '{model_path="/m/1",status="OK"} 500000.0',
    ):
        assert f"\n{line}\n" in text
    assert "_created" not in text


def test_made_up_model_names_do_not_grow_without_bound():
    metrics = Metrics()

    def send(thread: int) -> None:
        for number in range(400):
            metrics.add_request(
                f"no-{thread}-{number}", "predict", "GRPC", "NOT_FOUND", 0.0
            )

    threads = [threading.Thread(target=send, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    text = metrics.text().decode()
    count = ':tensorflow:serving:request_count{model_name="'
    assert text.count(count) == 1001
    assert f'{count}(other)",status="NOT_FOUND"}} 600.0' in text


def test_two_servers_count_apart():
    first, second = Metrics(), Metrics()

    first.add_request("ctr", "predict", "GRPC", "OK", 0.1)

    assert b'"ctr"' not in second.text()

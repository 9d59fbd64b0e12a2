"""Workers that TF_CONFIG or Slurm names."""

import json

import pytest

from deepfm_tf.cluster import read_cluster

HOSTS = ["a:20000", "b:20000", "c:20000"]


def config(jobs, task):
    return {"TF_CONFIG": json.dumps({"cluster": jobs, "task": task})}


def worker(index):
    return {"type": "worker", "index": index}


@pytest.mark.parametrize("index", [0, 1, 2, "2"])
def test_a_worker_knows_its_place(index):
    cluster = read_cluster(config({"worker": HOSTS}, worker(index)))

    assert cluster.addresses == tuple(HOSTS)
    assert cluster.index == int(index)
    assert cluster.num_workers == 3
    assert cluster.is_chief == (index == 0)


def test_a_chief_of_its_own_counts_before_the_workers():
    jobs = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}

    chief, last = (
        read_cluster(config(jobs, task))
        for task in ({"type": "chief", "index": 0}, worker(1))
    )

    assert chief.addresses == last.addresses == ("a:1", "b:1", "c:1")
    assert (chief.index, last.index) == (0, 2)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"TF_CONFIG": " "},
        {"TF_CONFIG": "{}"},
        {"TF_CONFIG": '{"cluster": {}}'},
        config({"worker": ["a:1"]}, worker(0)),
        config({"worker": ["a:1"]}, None),
        {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_PROCID": "0"},
        {"SLURM_STEP_NUM_TASKS": "1"},
        {"TF_CONFIG": "{}", "SLURM_STEP_NUM_TASKS": "2"},
    ],
)
def test_a_process_is_alone_otherwise(environment):
    cluster = read_cluster(environment)

    assert (cluster.num_workers, cluster.index) == (1, 0)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"TF_CONFIG": "{'cluster': 1}"}, "be JSON. Received"),
        ({"TF_CONFIG": "[1]"}, "be a JSON object"),
        ({"TF_CONFIG": '{"cluster": ["a:1"]}'}, 'a list "worker" in its "cl'),
        (config({"workers": HOSTS}, worker(0)), 'a list "worker" in its "clus'),
        (config({"worker": "a:1,b:1"}, worker(0)), 'a list of "host:port"'),
        (config({"worker": ["a", "b"]}, worker(0)), 'a list of "host:port"'),
        (config({"worker": []}, worker(0)), 'a list of "host:port"'),
        (
            config({"worker": ["a:1", "a:1"]}, worker(0)),
            "a different address",
        ),
        (
            config({"worker": HOSTS, "ps": ["d:1"]}, worker(0)),
            r"\['ps'\] is not used",
        ),
        (config({"worker": HOSTS}, None), 'say with "task" which'),
        (config({"worker": HOSTS}, {"index": 0}), 'say with "task" which'),
        (
            config({"worker": HOSTS}, {"type": "evaluator", "index": 0}),
            'say with "task" which',
        ),
        # One worker alone is told of what is wrong too.
        (config({"worker": ["a:1"]}, worker(1)), '"index" from 0 to 0'),
        (
            config({"worker": ["a:1"]}, {"type": "evaluator", "index": 0}),
            'say with "task" which',
        ),
        (config({"worker": HOSTS}, worker(3)), '"index" from 0 to 2'),
        (config({"worker": HOSTS}, worker(-1)), '"index" from 0 to 2'),
        (config({"worker": HOSTS}, worker(None)), '"index" from 0 to 2'),
    ],
)
def test_a_tf_config_that_cannot_be_is_refused(environment, message):
    with pytest.raises(ValueError, match=f"^TF_CONFIG must .*{message}"):
        read_cluster(environment)


def test_replicas_beside_several_workers_are_refused():
    cluster = read_cluster(config({"worker": HOSTS}, worker(0)))

    cluster.check_replicas(None)
    with pytest.raises(ValueError, match="num_replicas=2 and 3 workers"):
        cluster.check_replicas(2)


SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_NODELIST": "node[9-10],big",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
}


def test_slurm_counts_tasks_node_by_node():
    cluster = read_cluster({**SLURM, "SLURM_PROCID": "2"})

    # As Slurm does, and not by the order of their names; a port by the job.
    assert cluster.addresses == (
        *("node9:24711", "node9:24712"),
        *("node10:24711", "node10:24712"),
        "big:24711",
    )
    assert cluster.index == 2


def test_a_task_on_another_node_than_expected_is_told():
    cyclic = {**SLURM, "SLURM_PROCID": "1", "SLURMD_NODENAME": "node10"}

    with pytest.raises(ValueError, match="task 1 on node10, in place of node9"):
        read_cluster(cyclic)

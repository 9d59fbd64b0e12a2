"""Prepares data on a Spark cluster: deepfm_tf.prepare with Spark's map.

    spark-submit pipelines/spark_prepare.py \
        --train 's3://logs/day=2024-05-*' --schema schema.json \
        --prepared /shared/clicks/train

`schema.json` is what `deepfm-tf train` infers and writes. On every host
deepfm_tf is installed, and `/shared` is mounted. Tasks that Spark runs again,
because a worker was lost, do no harm.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any

import pyspark

import deepfm_tf


class SparkExecutor(Executor):
    """What `deepfm_tf.prepare` asks of an executor: a map.

    Args:
        context: SparkContext.
    """

    def __init__(self, context: pyspark.SparkContext) -> None:
        self._context = context

    def map(
        self, fn: Callable[..., Any], *iterables: Iterable[Any], **_: Any
    ) -> Iterator[Any]:
        """`fn` of each task, a partition each; results in order."""
        tasks = list(zip(*iterables, strict=True))
        rows = self._context.parallelize(tasks, max(1, len(tasks)))
        return iter(rows.map(lambda task: fn(*task)).collect())


def main() -> None:
    """Prepare what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", nargs="+", required=True)
    parser.add_argument("--schema", required=True)
    parser.add_argument("--prepared", required=True)
    options = parser.parse_args()
    context = pyspark.SparkContext.getOrCreate()
    prepared = deepfm_tf.prepare(
        options.train,
        options.prepared,
        schema=deepfm_tf.Schema.load(options.schema),
        executor=SparkExecutor(context),
    )
    print(f"{prepared.num_rows:,} rows in {options.prepared}")


if __name__ == "__main__":
    main()

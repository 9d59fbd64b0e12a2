"""DeepFM and its baselines for click-through rates, from raw logs to serving.

The public names are those in `__all__`. Importing has no side effects beyond
importing TensorFlow and Keras.
"""

import contextlib

from deepfm_tf.backend import (
    command,
    notices_kept_back,
    require_tensorflow_keras,
)

# The serving command needs none of these names, and TensorFlow only after it
# has read its command line: `--help` and typing mistakes are told at once.
if command() != "deepfm_tf.serving":
    # A recipe's first words should be its own.
    is_recipe = command().startswith("pipelines.")
    with notices_kept_back() if is_recipe else contextlib.nullcontext():
        require_tensorflow_keras()

    from deepfm_tf import labels as labels
    from deepfm_tf import shell as shell
    from deepfm_tf import storage as storage
    from deepfm_tf.calibration import Calibration, fit_calibration
    from deepfm_tf.callbacks import (
        load_checkpoint,
        training_callbacks,
    )
    from deepfm_tf.data import (
        Part,
        PreparedData,
        TextFormat,
        TimePart,
        compare_with_training,
        dataset_from_ids,
        dataset_from_memory,
        dataset_from_text,
        encode,
        fit_vocabulary,
        prepare,
        split_by_time,
    )
    from deepfm_tf.errors import UserError
    from deepfm_tf.evaluation import (
        comparison_table,
        evaluate,
        evaluate_stream,
        predict_with_labels,
        predict_with_weights,
    )
    from deepfm_tf.explain import (
        Explainer,
        export_embeddings,
        field_report,
        field_strengths,
        permutation_importance,
        plot_field_strengths,
        plot_waterfall,
        top_feature_pairs,
    )
    from deepfm_tf.export import export_saved_model
    from deepfm_tf.fields import (
        BucketizedField,
        CategoricalField,
        Field,
        MultiValuedField,
        NumericField,
        TimestampField,
    )
    from deepfm_tf.learning_curve import LearningCurve
    from deepfm_tf.metrics import (
        Comparison,
        NamedIds,
        StreamingMetrics,
        binary_metrics,
        bootstrap_intervals,
        compare_models,
        grouped_auc,
        reliability_curve,
        slice_metrics,
    )
    from deepfm_tf.models import (
        FM,
        NFM,
        CTRModel,
        DeepFM,
        LogisticRegression,
        WideAndDeep,
    )
    from deepfm_tf.report import (
        html_report,
        markdown_table,
        plot_learning_curves,
        plot_reliability,
        report_figures,
        results_table,
        structure_table,
        summarize_runs,
    )
    from deepfm_tf.schema import Schema
    from deepfm_tf.training import (
        OPTIMIZERS,
        compile_model,
        create_strategy,
        set_precision,
        set_seed,
    )
    from deepfm_tf.vocabulary import Vocabulary

__version__ = "0.4.2"

__all__ = [
    "BucketizedField",
    "CTRModel",
    "Calibration",
    "CategoricalField",
    "Comparison",
    "DeepFM",
    "Explainer",
    "FM",
    "Field",
    "LearningCurve",
    "LogisticRegression",
    "MultiValuedField",
    "NFM",
    "NamedIds",
    "NumericField",
    "OPTIMIZERS",
    "Part",
    "PreparedData",
    "Schema",
    "StreamingMetrics",
    "TextFormat",
    "TimePart",
    "TimestampField",
    "UserError",
    "Vocabulary",
    "WideAndDeep",
    "binary_metrics",
    "bootstrap_intervals",
    "compare_models",
    "compare_with_training",
    "comparison_table",
    "compile_model",
    "create_strategy",
    "dataset_from_ids",
    "dataset_from_memory",
    "dataset_from_text",
    "encode",
    "evaluate",
    "evaluate_stream",
    "export_embeddings",
    "export_saved_model",
    "field_report",
    "field_strengths",
    "fit_calibration",
    "fit_vocabulary",
    "grouped_auc",
    "html_report",
    "load_checkpoint",
    "markdown_table",
    "permutation_importance",
    "plot_field_strengths",
    "plot_learning_curves",
    "plot_reliability",
    "plot_waterfall",
    "predict_with_labels",
    "predict_with_weights",
    "prepare",
    "reliability_curve",
    "report_figures",
    "results_table",
    "set_precision",
    "set_seed",
    "slice_metrics",
    "split_by_time",
    "structure_table",
    "summarize_runs",
    "top_feature_pairs",
    "training_callbacks",
]

"""The public names, and where each is; imported when first used."""

from . import (
    backend as backend,
    calibration as calibration,
    callbacks as callbacks,
    data as data,
    drift as drift,
    errors as errors,
    evaluation as evaluation,
    explain as explain,
    export as export,
    extras as extras,
    fields as fields,
    files as files,
    labels as labels,
    layers as layers,
    learning_curve as learning_curve,
    losses as losses,
    metrics as metrics,
    models as models,
    optimizers as optimizers,
    raw_values as raw_values,
    report as report,
    schema as schema,
    serving as serving,
    shell as shell,
    storage as storage,
    training as training,
    vocabulary as vocabulary,
)
from .calibration import (
    Calibration as Calibration,
    fit_calibration as fit_calibration,
)
from .callbacks import (
    load_checkpoint as load_checkpoint,
    training_callbacks as training_callbacks,
)
from .data import (
    Part as Part,
    PreparedData as PreparedData,
    TimePart as TimePart,
    compare_with_training as compare_with_training,
    dataset_from_ids as dataset_from_ids,
    dataset_from_memory as dataset_from_memory,
    dataset_from_text as dataset_from_text,
    encode as encode,
    fit_vocabulary as fit_vocabulary,
    prepare as prepare,
    split_by_time as split_by_time,
)
from .errors import (
    UserError as UserError,
)
from .evaluation import (
    comparison_table as comparison_table,
    evaluate as evaluate,
    evaluate_stream as evaluate_stream,
    predict_with_labels as predict_with_labels,
    predict_with_weights as predict_with_weights,
)
from .explain import (
    Explainer as Explainer,
    export_embeddings as export_embeddings,
    field_report as field_report,
    field_strengths as field_strengths,
    permutation_importance as permutation_importance,
    plot_field_strengths as plot_field_strengths,
    plot_waterfall as plot_waterfall,
    top_feature_pairs as top_feature_pairs,
)
from .export import (
    export_saved_model as export_saved_model,
)
from .fields import (
    BucketizedField as BucketizedField,
    CategoricalField as CategoricalField,
    Field as Field,
    MultiValuedField as MultiValuedField,
    NumericField as NumericField,
    TimestampField as TimestampField,
)
from .files.text_format import TextFormat as TextFormat
from .learning_curve import (
    LearningCurve as LearningCurve,
)
from .metrics import (
    Comparison as Comparison,
    NamedIds as NamedIds,
    StreamingMetrics as StreamingMetrics,
    binary_metrics as binary_metrics,
    bootstrap_intervals as bootstrap_intervals,
    compare_models as compare_models,
    grouped_auc as grouped_auc,
    reliability_curve as reliability_curve,
    slice_metrics as slice_metrics,
)
from .models import (
    FM as FM,
    NFM as NFM,
    CTRModel as CTRModel,
    DeepFM as DeepFM,
    LogisticRegression as LogisticRegression,
    WideAndDeep as WideAndDeep,
)
from .report import (
    html_report as html_report,
    markdown_table as markdown_table,
    plot_learning_curves as plot_learning_curves,
    plot_reliability as plot_reliability,
    report_figures as report_figures,
    results_table as results_table,
    structure_table as structure_table,
    summarize_runs as summarize_runs,
)
from .schema import (
    Schema as Schema,
)
from .training import (
    OPTIMIZERS as OPTIMIZERS,
    compile_model as compile_model,
    create_strategy as create_strategy,
    set_precision as set_precision,
    set_seed as set_seed,
)
from .version import __version__ as __version__
from .vocabulary import (
    Vocabulary as Vocabulary,
)

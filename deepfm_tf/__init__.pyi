"""The public names, and where each is; imported when first used."""

from . import (
    calibration as calibration,
    callbacks as callbacks,
    data as data,
    drift as drift,
    evaluation as evaluation,
    explain as explain,
    layers as layers,
    losses as losses,
    metrics as metrics,
    models as models,
    optimizers as optimizers,
    report as report,
    serving as serving,
    shell as shell,
    strategies as strategies,
    training as training,
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
    infer_schema as infer_schema,
    prepare as prepare,
    split_by_time as split_by_time,
)
from .errors import UserError as UserError
from .evaluation import evaluate as evaluate
from .explain import Explainer as Explainer
from .export import export_saved_model as export_saved_model
from .fields import (
    BucketizedField as BucketizedField,
    CategoricalField as CategoricalField,
    Field as Field,
    MultiValuedField as MultiValuedField,
    NumericField as NumericField,
    TimestampField as TimestampField,
)
from .files.text_format import TextFormat as TextFormat
from .growth import grow_model as grow_model
from .models import (
    FM as FM,
    NFM as NFM,
    CTRModel as CTRModel,
    DeepFM as DeepFM,
    LogisticRegression as LogisticRegression,
    WideAndDeep as WideAndDeep,
)
from .presets import (
    Preset as Preset,
    choose_preset as choose_preset,
)
from .schema import Schema as Schema
from .strategies import create_strategy as create_strategy
from .training import (
    compile_model as compile_model,
    set_precision as set_precision,
    set_seed as set_seed,
)
from .version import __version__ as __version__
from .vocabulary import Vocabulary as Vocabulary

"""UCI Census-Income (KDD): mixed types from Parquet."""

import deepfm_tf
from deepfm_tf.experiment import Recipe, main

STANDARDIZED = ("age", "weeks_worked", "num_emp")
AMOUNTS = (
    "wage_per_hour",
    "capital_gains",
    "capital_losses",
    "stock_dividends",
)
CATEGORICAL = tuple(
    "class_worker det_ind_code det_occ_code education hs_college marital_stat "
    "major_ind_code major_occ_code race hisp_origin sex union_member "
    "unemp_reason full_or_part_emp tax_filer_stat region_prev_res "
    "state_prev_res det_hh_fam_stat det_hh_summ mig_chg_msa mig_chg_reg "
    "mig_move_reg mig_same mig_prev_sunbelt fam_under_18 country_father "
    "country_mother country_self citizenship own_or_self vet_question "
    "vet_benefits year".split()
)


def schema(min_count: int) -> deepfm_tf.Schema:
    """3 numeric, 37 categorical fields; `unknown` is a weight."""
    fields: tuple[deepfm_tf.Field, ...] = (
        *(deepfm_tf.NumericField(name) for name in STANDARDIZED),
        # Nearly all zeros, then amounts up to 99,999 that recur. As numbers,
        # FM's products of two of them would drown everything else; quantiles
        # fall on the zeros, and of 50 buckets two to seven are left.
        *(
            deepfm_tf.CategoricalField(name, min_count=min_count)
            for name in (*AMOUNTS, *CATEGORICAL)
        ),
    )
    return deepfm_tf.Schema(
        fields,
        label="income_50k",
        positive_labels=("' 50000+.'",),
        negative_labels=("' - 50000.'",),
    )


RECIPE = Recipe(
    name="census",
    command_words=("python", "-m", "pipelines.census"),
    description="""\
UCI Census-Income (KDD) as Parquet: 7 numeric and 33 categorical columns; is
the income above 50,000?

    {command} --train train.parquet --test test.parquet
""",
    label="income_50k",
    schema=schema,
    text_format=deepfm_tf.TextFormat(),
    # Nearly all values of the test data are known: little is to be learnt
    # about unknown ones.
    defaults={"min_count": 1},
)

if __name__ == "__main__":
    raise SystemExit(main(RECIPE))

// TensorFlow operations on embedding tables and dense weights, for CPUs.

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "large_pages.h"
#include "merge.h"
#include "pool.h"
#include "pool_gradient.h"
#include "rules.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace deepfm_tf {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::Var;
using tensorflow::shape_inference::InferenceContext;
using VarPtr = tensorflow::core::RefCountPtr<Var>;

template <typename... Parts>
absl::Status InvalidArgument(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

// ---- Variables ----

absl::Status LookUp(OpKernelContext* context, int input, VarPtr* variable) {
  TF_RETURN_IF_ERROR(tensorflow::LookupResource(
      context, tensorflow::HandleFromInput(context, input), variable));
  return absl::OkStatus();
}

absl::Status CheckTable(const Tensor& table) {
  if (table.dtype() != tensorflow::DT_FLOAT || table.dims() != 2 ||
      table.dim_size(1) < 1) {
    return InvalidArgument("A table must be of float32 and have two axes. ",
                           "Received: ", table.DebugString(0));
  }
  return absl::OkStatus();
}

// Gives a variable, whose lock is held, a tensor of its own to be written in
// place: one that some read gave out keeps what it had.
absl::Status Unshare(OpKernelContext* context, Var* variable) {
  Tensor* tensor = variable->tensor();
  if (tensor->RefCountIsOne()) return absl::OkStatus();
  Tensor copy;
  TF_RETURN_IF_ERROR(
      context->allocate_temp(tensor->dtype(), tensor->shape(), &copy));
  std::memcpy(copy.data(), tensor->data(), tensor->TotalBytes());
  *tensor = copy;
  return absl::OkStatus();
}

// The same of a table, which is seldom read as a whole: later reads copy.
absl::Status MakeWritable(OpKernelContext* context, Var* variable) {
  variable->copy_on_read_mode.store(true);
  return Unshare(context, variable);
}

// ---- The sums of equal rows ----

class Merge : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor &rows = context->input(0), &gradients = context->input(1);
    OP_REQUIRES(context,
                rows.dims() == 1 && gradients.dims() == 2 &&
                    rows.dim_size(0) == gradients.dim_size(0),
                InvalidArgument("There must be a gradient for each row."));
    const int64_t columns = gradients.dim_size(1);
    const auto* row = rows.flat<int32_t>().data();
    const EqualRows equal(context, row, rows.dim_size(0));
    Tensor *unique, *sums;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, TensorShape({equal.num_rows()}), &unique));
    OP_REQUIRES_OK(
        context, context->allocate_output(
                     1, TensorShape({equal.num_rows(), columns}), &sums));
    equal.AddUp(row, gradients.flat<float>().data(), columns,
                unique->flat<int32_t>().data(), sums->flat<float>().data());
  }
};

REGISTER_OP("DeepfmMerge")
    .Input("rows: int32")
    .Input("gradients: float")
    .Output("unique: int32")
    .Output("sums: float")
    .SetShapeFn([](InferenceContext* context) {
      const auto num_rows = context->UnknownDim();
      context->set_output(0, context->Vector(num_rows));
      tensorflow::shape_inference::ShapeHandle gradients;
      TF_RETURN_IF_ERROR(context->WithRank(context->input(1), 2, &gradients));
      context->set_output(
          1, context->Matrix(num_rows, context->Dim(gradients, 1)));
      return absl::OkStatus();
    });
REGISTER_KERNEL_BUILDER(Name("DeepfmMerge").Device(tensorflow::DEVICE_CPU),
                        Merge);

// ---- A step of an optimizer ----

// Rows named once each: `Merge` makes them so.
class Update : public OpKernel {
 public:
  explicit Update(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("constants", &constants_));
    OP_REQUIRES_OK(context, context->GetAttr("counts", &counts_));
    OP_REQUIRES_OK(context, context->GetAttr("rule", &rule_));
  }

  void Compute(OpKernelContext* context) override {
    if (rule_ == "adam") return Step<Adam>(context);
    if (rule_ == "ftrl") return Step<Ftrl>(context);
    Step<RowwiseAdagrad>(context);
  }

 private:
  template <typename Rule>
  void Step(OpKernelContext* context) {
    OP_REQUIRES(context, constants_.size() == Rule::kConstants,
                InvalidArgument("The rule has other constants."));
    VarPtr table, state;
    OP_REQUIRES_OK(context, LookUp(context, 0, &table));
    OP_REQUIRES_OK(context, LookUp(context, 1, &state));
    OP_REQUIRES(context, table.get() != state.get(),
                InvalidArgument("A table cannot be its own state."));
    // In the order of TensorFlow's own operations, or two would wait for ever.
    const bool is_first = table->mu() < state->mu();
    tensorflow::mutex_lock first(*(is_first ? table : state)->mu());
    tensorflow::mutex_lock second(*(is_first ? state : table)->mu());
    OP_REQUIRES_OK(context, CheckTable(*table->tensor()));
    OP_REQUIRES_OK(context, CheckTable(*state->tensor()));
    const int64_t num_rows = table->tensor()->dim_size(0);
    const int64_t columns = table->tensor()->dim_size(1);
    const int64_t state_columns = Rule::StateColumns(columns) + counts_;
    const Tensor &rows = context->input(2), &gradients = context->input(3);
    OP_REQUIRES(context,
                state->tensor()->dim_size(0) == num_rows &&
                    state->tensor()->dim_size(1) == state_columns,
                InvalidArgument("The state is not one of this table."));
    OP_REQUIRES(context,
                rows.dims() == 1 && gradients.dims() == 2 &&
                    rows.dim_size(0) == gradients.dim_size(0) &&
                    gradients.dim_size(1) == columns,
                InvalidArgument("There must be a gradient for each row."));
    OP_REQUIRES(context,
                !counts_ || context->input(6).NumElements() == columns,
                InvalidArgument("There must be a penalty for each column."));
    const auto* row = rows.flat<int32_t>().data();
    for (int64_t i = 0; i < rows.dim_size(0); ++i) {
      OP_REQUIRES(context, row[i] >= 0 && row[i] < num_rows,
                  InvalidArgument("indices[", i, "] = ", row[i],
                                  " is not in [0, ", num_rows, ")"));
    }
    OP_REQUIRES_OK(context, MakeWritable(context, table.get()));
    OP_REQUIRES_OK(context, MakeWritable(context, state.get()));
    table_pages_.Hold(*table->tensor());
    state_pages_.Hold(*state->tensor());
    Apply<Rule>(context, row, rows.dim_size(0), gradients.flat<float>().data(),
                table->tensor()->flat<float>().data(), columns,
                state->tensor()->flat<float>().data(), state_columns);
  }

  template <typename Rule>
  void Apply(OpKernelContext* context, const int32_t* rows, int64_t num_rows,
             const float* gradients, float* table, int64_t columns,
             float* state, int64_t state_columns) const {
    constexpr int64_t kAhead = 6;
    const Rule rule{context->input(4).scalar<float>()(), constants_.data()};
    const float shrink = context->input(5).scalar<float>()();
    const float* penalty = context->input(6).flat<float>().data();
    WithLength<9, 11, 17>(columns, [&](auto length) {
      constexpr int64_t kColumns = decltype(length)::value;
      ForParts(context, num_rows, 60, [&](int64_t begin, int64_t end) {
        std::vector<float> penalized(columns);
        for (int64_t i = begin; i < end; ++i) {
          if (i + kAhead < end) {
            const int64_t ahead = rows[i + kAhead];
            Prefetch(table + ahead * columns, columns);
            Prefetch(state + ahead * state_columns, state_columns);
          }
          const float* gradient = gradients + i * columns;
          float* weights = table + rows[i] * columns;
          float* own = state + rows[i] * state_columns;
          if (shrink != 1) {
            for (int64_t c = 0; c < columns; ++c) weights[c] *= shrink;
          }
          if (counts_) {
            const float count = ++own[state_columns - 1];
            for (int64_t c = 0; c < columns; ++c) {
              penalized[c] = gradient[c] + penalty[c] / count * weights[c];
            }
            gradient = penalized.data();
          }
          rule(gradient, weights, own, kColumns ? kColumns : columns);
        }
      });
    });
  }

  std::string rule_;
  std::vector<float> constants_;
  // Whether the last column of the state counts the steps of a row.
  bool counts_;
  LargePages table_pages_, state_pages_;
};

REGISTER_OP("DeepfmUpdate")
    .Input("table: resource")
    .Input("state: resource")
    .Input("rows: int32")
    .Input("gradients: float")
    .Input("rate: float")
    .Input("shrink: float")
    .Input("penalty: float")
    .Attr("rule: {'adam', 'rowwise_adagrad', 'ftrl'}")
    .Attr("constants: list(float)")
    .Attr("counts: bool")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::NoOutputs);
REGISTER_KERNEL_BUILDER(Name("DeepfmUpdate").Device(tensorflow::DEVICE_CPU),
                        Update);

// Adam's step for any number of dense weights, none of them twice.
class UpdateDense : public OpKernel {
 public:
  explicit UpdateDense(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("N", &num_));
    OP_REQUIRES_OK(context, context->GetAttr("constants", &constants_));
    OP_REQUIRES(context, constants_.size() == Adam::kConstants,
                InvalidArgument("Adam has other constants."));
  }

  void Compute(OpKernelContext* context) override {
    // The weights, then m, then v, as the inputs.
    std::vector<VarPtr> variables(3 * num_);
    for (int i = 0; i < 3 * num_; ++i) {
      OP_REQUIRES_OK(context, LookUp(context, i, &variables[i]));
    }
    // In the order of TensorFlow's own operations; see `Update`.
    std::vector<tensorflow::mutex*> order;
    for (const VarPtr& variable : variables) order.push_back(variable->mu());
    std::sort(order.begin(), order.end());
    OP_REQUIRES(
        context,
        std::adjacent_find(order.begin(), order.end()) == order.end(),
        InvalidArgument("A variable must not be given twice."));
    std::vector<tensorflow::mutex_lock> locks;
    for (tensorflow::mutex* mutex : order) locks.emplace_back(*mutex);
    for (int i = 0; i < 3 * num_; ++i) {
      const Tensor& tensor = *variables[i]->tensor();
      OP_REQUIRES(context,
                  tensor.dtype() == tensorflow::DT_FLOAT &&
                      tensor.shape() == Gradient(context, i % num_).shape(),
                  InvalidArgument("A gradient has another shape than its ",
                                  "float32 weights or their moments."));
    }
    for (const VarPtr& variable : variables) {
      OP_REQUIRES_OK(context, Unshare(context, variable.get()));
    }
    const Adam adam{context->input(4 * num_).scalar<float>()(),
                    constants_.data()};
    for (int i = 0; i < num_; ++i) {
      const float* gradient = Gradient(context, i).flat<float>().data();
      float* parts[3];
      for (int part = 0; part < 3; ++part) {
        parts[part] =
            variables[part * num_ + i]->tensor()->flat<float>().data();
      }
      ForParts(context, Gradient(context, i).NumElements(), 2,
               [&](int64_t begin, int64_t end) {
                 adam.Step(gradient + begin, parts[0] + begin,
                           parts[1] + begin, parts[2] + begin, end - begin);
               });
    }
  }

 private:
  const Tensor& Gradient(OpKernelContext* context, int i) const {
    return context->input(3 * num_ + i);
  }

  int num_;
  std::vector<float> constants_;
};

REGISTER_OP("DeepfmUpdateDense")
    .Input("weights: N * resource")
    .Input("m: N * resource")
    .Input("v: N * resource")
    .Input("gradients: N * float")
    .Input("rate: float")
    .Attr("N: int >= 1")
    .Attr("constants: list(float)")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::NoOutputs);
REGISTER_KERNEL_BUILDER(Name("DeepfmUpdateDense").Device(tensorflow::DEVICE_CPU),
                        UpdateDense);

// ---- Look-up, interaction of pairs, and their gradients ----

// Context: of a kernel's construction, or of the inference of shapes.
template <typename Context>
absl::Status ReadLayout(Context* context, Layout* layout) {
  TF_RETURN_IF_ERROR(context->GetAttr("first_rows", &layout->first_rows));
  TF_RETURN_IF_ERROR(context->GetAttr("fields", &layout->fields));
  TF_RETURN_IF_ERROR(context->GetAttr("numeric_rows", &layout->numeric_rows));
  TF_RETURN_IF_ERROR(context->GetAttr("has_missing", &layout->has_missing));
  TF_RETURN_IF_ERROR(context->GetAttr("dim", &layout->dim));
  TF_RETURN_IF_ERROR(context->GetAttr("first_order", &layout->first_order));
  TF_RETURN_IF_ERROR(context->GetAttr("factored", &layout->factored));
  bool is_sound = layout->first_rows.size() == layout->fields.size() &&
                  layout->numeric_rows.size() == layout->has_missing.size();
  is_sound &= 0 < layout->dim && layout->dim <= kLongest;
  int64_t last = -1;
  for (int64_t field : layout->fields) {
    is_sound &= field == last || field == last + 1;
    last = field;
  }
  for (int64_t row : layout->first_rows) is_sound &= row >= 0;
  for (int64_t row : layout->numeric_rows) is_sound &= row >= 0;
  if (!is_sound) return InvalidArgument("This is no layout of fields.");
  return absl::OkStatus();
}

class WithLayout : public OpKernel {
 public:
  explicit WithLayout(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadLayout(context, &layout_));
  }

 protected:
  // The ids, weights and values, inputs from `first` on.
  absl::Status Read(OpKernelContext* context, int first, Examples* examples) {
    const Tensor &ids = context->input(first),
                 &weights = context->input(first + 1),
                 &values = context->input(first + 2);
    const int64_t batch =
        layout_.num_ids() ? ids.dim_size(0) : values.dim_size(0);
    const bool has_weights = weights.NumElements() > 0;
    if ((layout_.num_ids() &&
         ids.shape() != TensorShape({batch, layout_.num_ids()})) ||
        (layout_.num_values() &&
         values.shape() != TensorShape({batch, layout_.num_values()})) ||
        (has_weights && weights.shape() != ids.shape())) {
      return InvalidArgument(
          "ids, weights and values must be of the same examples. Received: ",
          ids.shape().DebugString(), ", ", weights.shape().DebugString(), ", ",
          values.shape().DebugString());
    }
    *examples = {ids.flat<int32_t>().data(),
                 has_weights ? weights.flat<float>().data() : nullptr,
                 values.flat<float>().data(), batch};
    return absl::OkStatus();
  }

  // The table of input 0, which has room for all numeric rows.
  absl::Status ReadTable(const Var& variable, const Tensor** table) {
    *table = const_cast<Var&>(variable).tensor();
    TF_RETURN_IF_ERROR(CheckTable(**table));
    const int64_t num_rows = (*table)->dim_size(0);
    if ((*table)->dim_size(1) != layout_.columns()) {
      return InvalidArgument("The table has another number of columns.");
    }
    for (int64_t row : layout_.all_numeric_rows()) {
      if (row >= num_rows) return InvalidArgument("The table is too short.");
    }
    return absl::OkStatus();
  }

  // `Pool`'s outputs and their gradients, inputs from `first` on.
  absl::Status ReadUpstream(OpKernelContext* context, int first, int64_t batch,
                            Upstream* upstream) {
    const int64_t width = layout_.flat_columns(), dim = layout_.dim;
    const int64_t num_vectors = layout_.num_rows() * dim;
    const int64_t sizes[] = {
        batch * width,       batch * dim, num_vectors, batch * width,
        batch * layout_.first_order, batch * dim, num_vectors};
    const float** const fields[] = {
        &upstream->flat,     &upstream->sums,       &upstream->vectors,
        &upstream->d_flat,   &upstream->d_linear,   &upstream->d_products,
        &upstream->d_vectors};
    for (int i = 0; i < 7; ++i) {
      const Tensor& input = context->input(first + i);
      if (input.NumElements() != sizes[i]) {
        return InvalidArgument("A gradient has another shape.");
      }
      *fields[i] = input.flat<float>().data();
    }
    return absl::OkStatus();
  }

  Layout layout_;
};

class PoolOp : public WithLayout {
 public:
  using WithLayout::WithLayout;

  void Compute(OpKernelContext* context) override {
    VarPtr variable;
    OP_REQUIRES_OK(context, LookUp(context, 0, &variable));
    tensorflow::tf_shared_lock lock(*variable->mu());
    const Tensor* table;
    OP_REQUIRES_OK(context, ReadTable(*variable, &table));
    const int64_t num_rows = table->dim_size(0);
    Examples examples;
    OP_REQUIRES_OK(context, Read(context, 1, &examples));
    const int64_t batch = examples.batch, dim = layout_.dim;
    const int64_t shapes[][2] = {{batch, layout_.flat_columns()},
                                 {batch, layout_.first_order},
                                 {batch, dim},
                                 {batch, dim},
                                 {layout_.num_rows(), dim}};
    float* outputs[5];
    for (int i = 0; i < 5; ++i) {
      Tensor* output;
      OP_REQUIRES_OK(context, context->allocate_output(
                                  i, TensorShape({shapes[i][0], shapes[i][1]}),
                                  &output));
      outputs[i] = output->flat<float>().data();
    }
    const int64_t beyond =
        Pool(context, layout_, table->flat<float>().data(), num_rows, examples,
             {outputs[0], outputs[1], outputs[2], outputs[3], outputs[4]});
    if (beyond < 0) return;
    const int64_t column = beyond % layout_.num_ids();
    const int64_t row = layout_.first_rows[column] + examples.ids[beyond];
    context->CtxFailure(InvalidArgument("indices[", beyond, "] = ", row,
                                        " is not in [0, ", num_rows, ")"));
  }
};

class PoolGradientOp : public WithLayout {
 public:
  using WithLayout::WithLayout;

  void Compute(OpKernelContext* context) override {
    Examples examples;
    OP_REQUIRES_OK(context, Read(context, 0, &examples));
    Upstream upstream;
    OP_REQUIRES_OK(context,
                   ReadUpstream(context, 3, examples.batch, &upstream));
    const PoolGradient gradient(context, layout_, examples);
    const int64_t num = gradient.num_gradients();
    Tensor *rows, *values;
    OP_REQUIRES_OK(context,
                   context->allocate_output(0, TensorShape({num}), &rows));
    OP_REQUIRES_OK(context, context->allocate_output(
                                1, TensorShape({num, layout_.columns()}),
                                &values));
    gradient.Write(upstream, rows->flat<int32_t>().data(),
                   values->flat<float>().data());
  }
};

// The gradient of what an example brings, which no training asks for: then it
// is left out of the graph, and otherwise better an error than none at all.
class NoGradient : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    context->CtxFailure(absl::UnimplementedError(
        "The kernels have no gradient of weights and values where a compiled "
        "function is differentiated from outside. Set the environment variable "
        "DEEPFM_TF_KERNELS=off."));
  }
};

#define LAYOUT_ATTRS                   \
  Attr("first_rows: list(int)")        \
      .Attr("fields: list(int)")       \
      .Attr("numeric_rows: list(int)") \
      .Attr("has_missing: list(int)")  \
      .Attr("dim: int")                \
      .Attr("first_order: bool")       \
      .Attr("factored: bool")

// Stateful, or two reads before and after an update might become one.
REGISTER_OP("DeepfmPool")
    .Input("table: resource")
    .Input("ids: int32")
    .Input("weights: float")
    .Input("values: float")
    .LAYOUT_ATTRS.Output("flat: float")
    .Output("linear: float")
    .Output("products: float")
    .Output("sums: float")
    .Output("vectors: float")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* context) {
      Layout layout;
      TF_RETURN_IF_ERROR(ReadLayout(context, &layout));
      tensorflow::shape_inference::ShapeHandle examples;
      TF_RETURN_IF_ERROR(context->WithRank(
          context->input(layout.num_ids() ? 1 : 3), 2, &examples));
      const auto batch = context->Dim(examples, 0);
      context->set_output(0, context->Matrix(batch, layout.flat_columns()));
      context->set_output(1, context->Matrix(batch, layout.first_order));
      context->set_output(2, context->Matrix(batch, layout.dim));
      context->set_output(3, context->Matrix(batch, layout.dim));
      context->set_output(4, context->Matrix(layout.num_rows(), layout.dim));
      return absl::OkStatus();
    });
REGISTER_KERNEL_BUILDER(Name("DeepfmPool").Device(tensorflow::DEVICE_CPU),
                        PoolOp);

REGISTER_OP("DeepfmPoolGradient")
    .Input("ids: int32")
    .Input("weights: float")
    .Input("values: float")
    .Input("flat: float")
    .Input("sums: float")
    .Input("vectors: float")
    .Input("d_flat: float")
    .Input("d_linear: float")
    .Input("d_products: float")
    .Input("d_vectors: float")
    .LAYOUT_ATTRS.Output("rows: int32")
    .Output("gradients: float")
    .SetShapeFn([](InferenceContext* context) {
      Layout layout;
      TF_RETURN_IF_ERROR(ReadLayout(context, &layout));
      const auto num_rows = context->UnknownDim();
      context->set_output(0, context->Vector(num_rows));
      context->set_output(1, context->Matrix(num_rows, layout.columns()));
      return absl::OkStatus();
    });
REGISTER_KERNEL_BUILDER(
    Name("DeepfmPoolGradient").Device(tensorflow::DEVICE_CPU), PoolGradientOp);

REGISTER_OP("DeepfmNoGradient")
    .Input("like: float")
    .Output("gradient: float")
    .SetShapeFn(tensorflow::shape_inference::UnchangedShape);
REGISTER_KERNEL_BUILDER(
    Name("DeepfmNoGradient").Device(tensorflow::DEVICE_CPU), NoGradient);

}  // namespace
}  // namespace deepfm_tf

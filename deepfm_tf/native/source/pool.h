// From the ids and numbers of examples to the vectors of their fields.
//
// What `SharedEmbedding` and the interaction of pairs compute, in one pass
// over the examples. A negative id costs a look at it and nothing else.

#ifndef DEEPFM_TF_POOL_H_
#define DEEPFM_TF_POOL_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "layout.h"
#include "parallel.h"

namespace deepfm_tf {

// What `Pool` gives. Of each example the vectors side by side, the sum of the
// table's further column, the sum of the products of all pairs of vectors, and
// the sum of the vectors; and of the batch the vectors of the numeric rows.
struct Pooled {
  float *flat, *linear, *products, *sums, *vectors;
};

// Computes some of the examples. kDim: the length of vectors, 0 for any.
template <int64_t kDim>
class Pooling {
 public:
  // table: (num_rows, columns). numeric: the numeric rows, side by side.
  Pooling(const Layout& layout, const float* table, int64_t num_rows,
          const float* numeric, const Examples& examples, const Pooled& pooled)
      : layout_(layout),
        table_(table),
        num_rows_(num_rows),
        numeric_(numeric),
        examples_(examples),
        pooled_(pooled),
        missing_(layout.missing_places()) {
    const auto& fields = layout.fields;
    for (size_t column = 0; column < fields.size(); ++column) {
      const bool is_last = column + 1 == fields.size();
      if (is_last || fields[column + 1] != fields[column]) {
        ends_.push_back(column + 1);
      }
    }
  }

  // Returns the place in `ids` of one that is beyond the table, or -1.
  int64_t Compute(int64_t begin, int64_t end) const {
    int64_t beyond = -1;
    for (int64_t example = begin; example < end; ++example) {
      const Totals totals = AddNumbers(example, AddIds(example, end, &beyond));
      float* __restrict sums = pooled_.sums + example * dim();
      float* __restrict products = pooled_.products + example * dim();
      // The two terms nearly cancel: in float32, whatever comes after.
      for (int64_t d = 0; d < dim(); ++d) {
        const float sum = totals.sums[d];
        sums[d] = sum;
        products[d] = 0.5f * (sum * sum - totals.squares[d]);
      }
      if (layout_.first_order) pooled_.linear[example] = totals.linear;
    }
    return beyond;
  }

 private:
  static constexpr int64_t kRoom = kDim ? kDim : kLongest;

  // Of the vectors of an example. Handed on by value: in registers, if its size
  // is known.
  struct Totals {
    float sums[kRoom], squares[kRoom], linear = 0;
  };

  int64_t dim() const { return kDim ? kDim : layout_.dim; }

  void Add(const float* vector, Totals& totals) const {
    for (int64_t d = 0; d < dim(); ++d) {
      totals.sums[d] += vector[d];
      totals.squares[d] += vector[d] * vector[d];
    }
  }

  // Rows are asked for while those of the ids before are added up; those of
  // the next example too, if it is before `end`.
  Totals AddIds(int64_t example, int64_t end, int64_t* beyond) const {
    constexpr int64_t kAhead = 20;
    const int64_t num_ids = layout_.num_ids(), columns = layout_.columns();
    const int64_t* first_rows = layout_.first_rows.data();
    const int32_t* ids = examples_.ids + example * num_ids;
    const float* weights =
        examples_.weights ? examples_.weights + example * num_ids : nullptr;
    const int64_t num_ahead = (end - example) * num_ids;
    const bool first_order = layout_.first_order;
    float* __restrict out = pooled_.flat + example * layout_.flat_columns();
    int64_t column = 0, ahead = num_ids ? kAhead % num_ids : 0;
    Totals totals;
    std::fill_n(totals.sums, dim(), 0.0f);
    std::fill_n(totals.squares, dim(), 0.0f);
    for (const int64_t field_end : ends_) {
      float vector[kRoom];
      std::fill_n(vector, dim(), 0.0f);
      for (; column < field_end; ++column) {
        if (column + kAhead < num_ahead) {
          const int32_t id = ids[column + kAhead];
          const int64_t row = first_rows[ahead] + id;
          if (id >= 0 && row < num_rows_) {
            Prefetch(table_ + row * columns, columns);
          }
          if (++ahead == num_ids) ahead = 0;
        }
        if (ids[column] < 0) continue;
        const int64_t row = first_rows[column] + ids[column];
        if (row >= num_rows_) {
          *beyond = example * num_ids + column;
          continue;
        }
        const float* __restrict from = table_ + row * columns;
        const float weight = weights ? weights[column] : 1.0f;
        for (int64_t d = 0; d < dim(); ++d) vector[d] += weight * from[d];
        if (first_order) totals.linear += weight * from[dim()];
      }
      std::copy_n(vector, dim(), out);
      out += dim();
      Add(vector, totals);
    }
    return totals;
  }

  Totals AddNumbers(int64_t example, Totals totals) const {
    const int64_t num_values = layout_.num_values();
    const float* values = examples_.values + example * num_values;
    float* __restrict out = pooled_.flat + example * layout_.flat_columns() +
                            layout_.num_pooled() * dim();
    for (int64_t i = 0; i < num_values; ++i) {
      const bool is_present = std::isfinite(values[i]);
      const int64_t place = is_present ? i : missing_[i];
      const float factor = is_present ? values[i] : place < 0 ? 0.0f : 1.0f;
      const float* from =
          numeric_ + (place < 0 ? i : place) * layout_.columns();
      float vector[kRoom];
      for (int64_t d = 0; d < dim(); ++d) vector[d] = factor * from[d];
      Add(vector, totals);
      if (layout_.first_order) totals.linear += factor * from[dim()];
      if (!layout_.factored) {
        std::copy_n(vector, dim(), out + i * dim());
        continue;
      }
      out[i] = is_present ? values[i] : 0.0f;
      if (missing_[i] >= 0) out[missing_[i]] = is_present ? 0.0f : 1.0f;
    }
    return totals;
  }

  const Layout& layout_;
  const float* table_;
  const int64_t num_rows_;
  const float* numeric_;
  const Examples& examples_;
  const Pooled& pooled_;
  // Where missing values have their rows; and the columns of each field end.
  const std::vector<int64_t> missing_;
  std::vector<int64_t> ends_;
};

// Reads a table of `num_rows`. Returns the place in `ids` of one that is beyond
// the table, or -1.
inline int64_t Pool(tensorflow::OpKernelContext* context, const Layout& layout,
                    const float* table, int64_t num_rows,
                    const Examples& examples, const Pooled& pooled) {
  const int64_t dim = layout.dim, columns = layout.columns();
  const auto numeric_rows = layout.all_numeric_rows();
  std::vector<float> numeric(numeric_rows.size() * columns);
  for (size_t i = 0; i < numeric_rows.size(); ++i) {
    const float* row = table + numeric_rows[i] * columns;
    std::copy_n(row, columns, &numeric[i * columns]);
    std::copy_n(row, dim, pooled.vectors + i * dim);
  }
  int64_t beyond[kBlocks];
  WithLength<8, 10, 16>(dim, [&](auto length) {
    const Pooling<decltype(length)::value> pooling(
        layout, table, num_rows, numeric.data(), examples, pooled);
    ForBlocks(context, examples.batch,
              30 * (layout.num_ids() + layout.num_values()),
              [&](int64_t block, int64_t begin, int64_t end) {
                beyond[block] = pooling.Compute(begin, end);
              });
  });
  return *std::max_element(beyond, beyond + kBlocks);
}

}  // namespace deepfm_tf

#endif  // DEEPFM_TF_POOL_H_

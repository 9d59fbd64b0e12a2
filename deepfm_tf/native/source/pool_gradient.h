// The gradients of what `Pool` gives.

#ifndef DEEPFM_TF_POOL_GRADIENT_H_
#define DEEPFM_TF_POOL_GRADIENT_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "layout.h"
#include "parallel.h"

namespace deepfm_tf {

// What `Pool` gave, and the gradients of it.
struct Upstream {
  const float *flat, *sums, *vectors;
  const float *d_flat, *d_linear, *d_products, *d_vectors;
};

// The gradient of the rows that contribute something, and which rows they are.
class PoolGradient {
 public:
  PoolGradient(tensorflow::OpKernelContext* context, const Layout& layout,
               const Examples& examples)
      : context_(context),
        layout_(layout),
        examples_(examples),
        columns_(layout.columns()) {
    CountIds();
    FindNumericRows();
  }

  // Rows that are named, each once for each time that it contributes.
  int64_t num_gradients() const {
    return first_of_block_[kBlocks] + numeric_.size();
  }

  // Writes (num_gradients) rows and their (num_gradients, columns) gradients.
  void Write(const Upstream& upstream, int32_t* rows, float* gradients) const {
    const int64_t num_rows = layout_.num_rows();
    // Of each block (num_rows, columns).
    std::vector<float> partial(kBlocks * num_rows * columns_);
    WithLength<8, 10, 16>(layout_.dim, [&](auto length) {
      constexpr int64_t kDim = decltype(length)::value;
      ForBlocks(context_, examples_.batch,
                20 * (layout_.num_ids() + layout_.num_values()),
                [&](int64_t block, int64_t begin, int64_t end) {
                  const int64_t first = first_of_block_[block];
                  WriteIds<kDim>(upstream, begin, end, rows + first,
                                 gradients + first * columns_);
                  AddNumeric<kDim>(
                      upstream, begin, end,
                      partial.data() + block * num_rows * columns_);
                });
    });
    const auto numeric_rows = layout_.all_numeric_rows();
    int64_t next = first_of_block_[kBlocks];
    for (int64_t place : numeric_) {
      float* to = gradients + next * columns_;
      rows[next++] = numeric_rows[place];
      std::fill_n(to, columns_, 0.0f);
      for (int64_t block = 0; block < kBlocks; ++block) {
        const float* from =
            partial.data() + (block * num_rows + place) * columns_;
        for (int64_t c = 0; c < columns_; ++c) to[c] += from[c];
      }
      const float* from = upstream.d_vectors + place * layout_.dim;
      for (int64_t d = 0; d < layout_.dim; ++d) to[d] += from[d];
    }
  }

 private:
  void CountIds() {
    const int64_t num_ids = layout_.num_ids();
    std::vector<int64_t> count(kBlocks);
    ForBlocks(context_, examples_.batch, num_ids,
              [&](int64_t block, int64_t begin, int64_t end) {
                const int32_t* ids = examples_.ids;
                int64_t present = 0;
                for (int64_t i = begin * num_ids; i < end * num_ids; ++i) {
                  present += ids[i] >= 0;
                }
                count[block] = present;
              });
    first_of_block_.assign(kBlocks + 1, 0);
    for (int64_t block = 0; block < kBlocks; ++block) {
      first_of_block_[block + 1] = first_of_block_[block] + count[block];
    }
  }

  void FindNumericRows() {
    const auto missing = layout_.missing_places();
    const int64_t num_values = layout_.num_values();
    const int64_t num_rows = layout_.num_rows();
    std::vector<char> is_touched(num_rows);
    int64_t num_touched = 0;
    // Most often the first example has a number in each field.
    for (int64_t example = 0;
         example < examples_.batch && num_touched < num_rows; ++example) {
      for (int64_t i = 0; i < num_values; ++i) {
        const bool is_present =
            std::isfinite(examples_.values[example * num_values + i]);
        const int64_t place = is_present ? i : missing[i];
        if (place < 0 || is_touched[place]) continue;
        is_touched[place] = 1;
        ++num_touched;
      }
    }
    for (int64_t place = 0; place < num_rows; ++place) {
      if (is_touched[place]) numeric_.push_back(place);
    }
  }

  template <int64_t kDim>
  void WriteIds(const Upstream& upstream, int64_t begin, int64_t end,
                int32_t* rows, float* gradients) const {
    const int64_t dim = kDim ? kDim : layout_.dim, num_ids = layout_.num_ids();
    const int64_t width = layout_.flat_columns();
    for (int64_t example = begin; example < end; ++example) {
      float sums[kDim ? kDim : kLongest], d_products[kDim ? kDim : kLongest];
      std::copy_n(upstream.sums + example * dim, dim, sums);
      std::copy_n(upstream.d_products + example * dim, dim, d_products);
      for (int64_t column = 0; column < num_ids; ++column) {
        const int64_t place = example * num_ids + column;
        const int32_t id = examples_.ids[place];
        if (id < 0) continue;
        const int64_t start = example * width + layout_.fields[column] * dim;
        const float* __restrict vector = upstream.flat + start;
        const float* __restrict d_vector = upstream.d_flat + start;
        float* __restrict to = gradients;
        const float weight =
            examples_.weights ? examples_.weights[place] : 1.0f;
        // d products_d / d v_d = sum_d - v_d
        for (int64_t d = 0; d < dim; ++d) {
          to[d] =
              weight * (d_vector[d] + d_products[d] * (sums[d] - vector[d]));
        }
        if (layout_.first_order) to[dim] = weight * upstream.d_linear[example];
        *rows++ = layout_.first_rows[column] + id;
        gradients += columns_;
      }
    }
  }

  template <int64_t kDim>
  void AddNumeric(const Upstream& upstream, int64_t begin, int64_t end,
                  float* gradients) const {
    const int64_t dim = kDim ? kDim : layout_.dim;
    const int64_t num_values = layout_.num_values();
    const int64_t width = layout_.flat_columns();
    const int64_t num_before = layout_.num_pooled() * dim;
    const auto missing = layout_.missing_places();
    const bool first_order = layout_.first_order, factored = layout_.factored;
    for (int64_t example = begin; example < end; ++example) {
      // Copies: in registers, if their size is known.
      float sums[kDim ? kDim : kLongest], d_products[kDim ? kDim : kLongest];
      std::copy_n(upstream.sums + example * dim, dim, sums);
      std::copy_n(upstream.d_products + example * dim, dim, d_products);
      for (int64_t i = 0; i < num_values; ++i) {
        const float value = examples_.values[example * num_values + i];
        const bool is_present = std::isfinite(value);
        const int64_t place = is_present ? i : missing[i];
        if (place < 0) continue;
        const float factor = is_present ? value : 1.0f;
        const float* from = upstream.vectors + place * dim;
        const float* d_vector =
            upstream.d_flat + example * width + num_before + i * dim;
        float* __restrict to = gradients + place * columns_;
        if (factored) {
          for (int64_t d = 0; d < dim; ++d) {
            to[d] += factor * d_products[d] * (sums[d] - factor * from[d]);
          }
        } else {
          for (int64_t d = 0; d < dim; ++d) {
            to[d] += factor * (d_vector[d] +
                               d_products[d] * (sums[d] - factor * from[d]));
          }
        }
        if (first_order) to[dim] += factor * upstream.d_linear[example];
      }
    }
  }

  tensorflow::OpKernelContext* context_;
  const Layout& layout_;
  const Examples& examples_;
  const int64_t columns_;
  // Where the gradients of each block of examples begin.
  std::vector<int64_t> first_of_block_;
  // The numeric rows that contribute, by place.
  std::vector<int64_t> numeric_;
};

}  // namespace deepfm_tf

#endif  // DEEPFM_TF_POOL_GRADIENT_H_

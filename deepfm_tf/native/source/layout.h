// Where the fields of an example stand, and what a batch of them is.

#ifndef DEEPFM_TF_LAYOUT_H_
#define DEEPFM_TF_LAYOUT_H_

#include <algorithm>
#include <cstdint>
#include <vector>

namespace deepfm_tf {

// The longest vectors that there is room for while an example is computed.
constexpr int64_t kLongest = 1024;

// Where fields find their rows, and where their vectors stand in `flat`.
struct Layout {
  // Of each id column: the row of its id 0, and its field, ascending.
  std::vector<int64_t> first_rows, fields;
  // Of each numeric field: the row of its values; whether the one after it is
  // for missing values.
  std::vector<int64_t> numeric_rows, has_missing;
  // The length of the vectors, at most `kLongest`; and whether the table has
  // a further column, which is added up.
  int64_t dim;
  bool first_order;
  // Whether `flat` has of each numeric row its factor in place of a vector.
  bool factored;

  int64_t columns() const { return dim + first_order; }
  int64_t num_ids() const { return fields.size(); }
  int64_t num_values() const { return numeric_rows.size(); }
  int64_t num_pooled() const { return fields.empty() ? 0 : fields.back() + 1; }
  int64_t num_rows() const {
    return num_values() +
           std::count(has_missing.begin(), has_missing.end(), 1);
  }
  int64_t flat_columns() const {
    return num_pooled() * dim + (factored ? num_rows() : num_values() * dim);
  }
  // All numeric rows: first those of values, then those of missing ones.
  std::vector<int64_t> all_numeric_rows() const {
    std::vector<int64_t> rows = numeric_rows;
    for (int64_t i = 0; i < num_values(); ++i) {
      if (has_missing[i]) rows.push_back(numeric_rows[i] + 1);
    }
    return rows;
  }
  // Of each numeric field: the place of its missing row among them, or -1.
  std::vector<int64_t> missing_places() const {
    std::vector<int64_t> places;
    int64_t next = num_values();
    for (int64_t has : has_missing) places.push_back(has ? next++ : -1);
    return places;
  }
};

// What one batch brings. `weights` may be null: all are 1.
struct Examples {
  const int32_t* ids;
  const float* weights;
  const float* values;
  int64_t batch;
};

}  // namespace deepfm_tf

#endif  // DEEPFM_TF_LAYOUT_H_

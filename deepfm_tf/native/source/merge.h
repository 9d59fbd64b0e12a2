// Adds up the gradients of equal rows of a table.

#ifndef DEEPFM_TF_MERGE_H_
#define DEEPFM_TF_MERGE_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "parallel.h"

namespace deepfm_tf {

// Which gradients belong together: the rows fall into blocks by a hash, each
// of which any thread can work on alone. Within a block, gradients stay in the
// order in which they came, and so does what is added up.
class EqualRows {
 public:
  EqualRows(tensorflow::OpKernelContext* context, const int32_t* rows,
            int64_t num_gradients)
      : context_(context), order_(num_gradients), number_(num_gradients) {
    Partition(rows, num_gradients);
    std::array<int64_t, kBlocks> found;
    Each([&](int64_t block, int64_t begin, int64_t end) {
      found[block] = NumberRows(rows, begin, end);
    });
    first_of_block_[0] = 0;
    for (int64_t block = 0; block < kBlocks; ++block) {
      first_of_block_[block + 1] = first_of_block_[block] + found[block];
    }
  }

  // How many rows there are, each counted once.
  int64_t num_rows() const { return first_of_block_[kBlocks]; }

  // Writes each row once, (num_rows), and its sums, (num_rows, columns).
  void AddUp(const int32_t* rows, const float* gradients, int64_t columns,
             int32_t* unique_rows, float* sums) const {
    WithLength<9, 11, 17>(columns, [&](auto length) {
      AddUpRows<decltype(length)::value>(rows, gradients, columns, unique_rows,
                                         sums);
    });
  }

 private:
  // kColumns: of a row, 0 for any number.
  template <int64_t kColumns>
  void AddUpRows(const int32_t* rows, const float* gradients,
                 int64_t any_columns, int32_t* unique_rows,
                 float* sums) const {
    constexpr int64_t kAhead = 8;
    const int64_t columns = kColumns ? kColumns : any_columns;
    Each([&](int64_t block, int64_t begin, int64_t end) {
      const int64_t first = first_of_block_[block];
      int64_t num_seen = 0;
      for (int64_t place = begin; place < end; ++place) {
        if (place + kAhead < end) {
          const int64_t ahead = order_[place + kAhead];
          Prefetch(gradients + ahead * columns, columns);
        }
        const int64_t gradient = order_[place];
        const float* __restrict from = gradients + gradient * columns;
        float* __restrict to = sums + (first + number_[place]) * columns;
        if (number_[place] == num_seen) {
          unique_rows[first + num_seen++] = rows[gradient];
          std::copy_n(from, columns, to);
        } else {
          for (int64_t c = 0; c < columns; ++c) to[c] += from[c];
        }
      }
    });
  }

  static uint32_t Hash(int32_t row) {
    return static_cast<uint32_t>(row) * 2654435761u;
  }

  template <typename Work>
  void Each(const Work& work) const {
    const int64_t each = 20 * order_.size() / kBlocks + 1;
    ForParts(context_, kBlocks, each, [&](int64_t first, int64_t last) {
      for (int64_t block = first; block < last; ++block) {
        work(block, begin_of_block_[block], begin_of_block_[block + 1]);
      }
    });
  }

  // A stable counting sort of the gradients by the block of their row.
  void Partition(const int32_t* rows, int64_t num_gradients) {
    static_assert(kBlocks == 64, "a block is the first six bits of a hash");
    begin_of_block_.fill(0);
    for (int64_t i = 0; i < num_gradients; ++i) {
      ++begin_of_block_[(Hash(rows[i]) >> 26) + 1];
    }
    for (int64_t block = 0; block < kBlocks; ++block) {
      begin_of_block_[block + 1] += begin_of_block_[block];
    }
    auto next = begin_of_block_;
    for (int64_t i = 0; i < num_gradients; ++i) {
      order_[next[Hash(rows[i]) >> 26]++] = i;
    }
  }

  // Numbers the rows of a block as they come; returns how many there are.
  int64_t NumberRows(const int32_t* rows, int64_t begin, int64_t end) {
    int64_t size = 16;
    while (size < 2 * (end - begin)) size *= 2;
    struct Entry {
      int32_t row, number;
    };
    std::vector<Entry> table(size, Entry{0, -1});
    int32_t num_seen = 0;
    for (int64_t place = begin; place < end; ++place) {
      const int32_t row = rows[order_[place]];
      // The first bits of the hash are those of the block.
      int64_t at = (Hash(row) >> 5) & (size - 1);
      while (table[at].number >= 0 && table[at].row != row) {
        at = (at + 1) & (size - 1);
      }
      if (table[at].number < 0) table[at] = {row, num_seen++};
      number_[place] = table[at].number;
    }
    return num_seen;
  }

  tensorflow::OpKernelContext* context_;
  // The gradients, block by block; and the number of each one's row in it.
  std::vector<int32_t> order_, number_;
  std::array<int64_t, kBlocks + 1> begin_of_block_, first_of_block_;
};

}  // namespace deepfm_tf

#endif  // DEEPFM_TF_MERGE_H_

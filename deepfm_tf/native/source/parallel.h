// Work in fixed blocks, on TensorFlow's threads of one operation.

#ifndef DEEPFM_TF_PARALLEL_H_
#define DEEPFM_TF_PARALLEL_H_

#include <cstdint>
#include <type_traits>

#include "tensorflow/core/framework/op_kernel.h"

namespace deepfm_tf {

// What is added up is added up block by block: results are the same, bit for
// bit, on any number of threads.
constexpr int64_t kBlocks = 64;

// Calls `work(begin, end)` for parts of 0..total, on any thread.
template <typename Work>
void ForParts(tensorflow::OpKernelContext* context, int64_t total,
              int64_t nanoseconds_each, const Work& work) {
  context->device()->tensorflow_cpu_worker_threads()->workers->ParallelFor(
      total, nanoseconds_each, work);
}

// Calls `work(block, begin, end)` for each of the blocks of 0..total.
template <typename Work>
void ForBlocks(tensorflow::OpKernelContext* context, int64_t total,
               int64_t nanoseconds_each, const Work& work) {
  ForParts(context, kBlocks, nanoseconds_each * (total / kBlocks + 1),
           [&](int64_t first, int64_t last) {
             for (int64_t block = first; block < last; ++block) {
               work(block, total * block / kBlocks,
                    total * (block + 1) / kBlocks);
             }
           });
}

// Calls `work` with an `integral_constant`: the number if it is one of the
// usual ones, else 0. A loop of known length takes a third of the time.
template <int64_t... kUsual, typename Work>
void WithLength(int64_t number, const Work& work) {
  const bool is_usual =
      ((number == kUsual &&
        (work(std::integral_constant<int64_t, kUsual>()), true)) ||
       ...);
  if (!is_usual) work(std::integral_constant<int64_t, 0>());
}

// Asks for a row of floats before it is needed.
inline void Prefetch(const float* row, int64_t columns) {
  const char* start = reinterpret_cast<const char*>(row);
  const char* last = start + columns * sizeof(float) - 1;
  for (const char* line = start; line < last; line += 64) {
    __builtin_prefetch(line);
  }
  __builtin_prefetch(last);
}

}  // namespace deepfm_tf

#endif  // DEEPFM_TF_PARALLEL_H_

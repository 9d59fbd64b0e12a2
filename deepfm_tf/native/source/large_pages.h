// Memory in large pages, for rows that are read all over it.

#ifndef DEEPFM_TF_LARGE_PAGES_H_
#define DEEPFM_TF_LARGE_PAGES_H_

#include <atomic>
#include <cstdint>

#include "tensorflow/core/framework/tensor.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace deepfm_tf {

// Asks the system to hold a table in pages of 2 MB: with those of 4 KB, the
// processor looks up where nearly each row of a large table lies, which takes
// as long as reading it. The content stays, and so does the size. Where the
// system refuses, or knows no such pages, nothing changes.
class LargePages {
 public:
  // Does so once for each memory that it is given in turn.
  void Hold(const tensorflow::Tensor& tensor) {
    const auto start = reinterpret_cast<uintptr_t>(tensor.data());
    if (held_.exchange(start, std::memory_order_relaxed) == start) return;
#ifdef MADV_HUGEPAGE
    constexpr uintptr_t kPage = 1 << 21;
    const uintptr_t first = (start + kPage - 1) / kPage * kPage;
    const uintptr_t end = (start + tensor.TotalBytes()) / kPage * kPage;
    if (end <= first) return;
    auto* memory = reinterpret_cast<void*>(first);
    madvise(memory, end - first, MADV_HUGEPAGE);
    // Those that are in use already: MADV_COLLAPSE, from Linux 6.1 on.
    madvise(memory, end - first, 25);
#endif
  }

 private:
  std::atomic<uintptr_t> held_{0};
};

}  // namespace deepfm_tf

#endif  // DEEPFM_TF_LARGE_PAGES_H_

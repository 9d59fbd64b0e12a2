// One step of an optimizer for one row of a table.
//
// The equations stand in the docstrings of the classes in `optimizers`. Each
// rule is called with the sum of the row's gradients, its weights and its
// state, which it changes in place. Adam's moments may also lie apart, as those
// of dense weights do.

#ifndef DEEPFM_TF_RULES_H_
#define DEEPFM_TF_RULES_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace deepfm_tf {

struct Adam {
  // 1 - beta_1, 1 - beta_2, epsilon.
  static constexpr int kConstants = 3;
  static int64_t StateColumns(int64_t columns) { return 2 * columns; }

  void operator()(const float* __restrict gradient, float* __restrict weights,
                  float* __restrict state, int64_t columns) const {
    Step(gradient, weights, state, state + columns, columns);
  }

  // Keras's operations in Keras's order: the same numbers, bit for bit.
  void Step(const float* __restrict gradient, float* __restrict weights,
            float* __restrict m, float* __restrict v, int64_t num) const {
    for (int64_t c = 0; c < num; ++c) {
      m[c] += constants[0] * (gradient[c] - m[c]);
      v[c] += constants[1] * (gradient[c] * gradient[c] - v[c]);
      weights[c] -= rate * m[c] / (std::sqrt(v[c]) + constants[2]);
    }
  }

  // With the correction of the moments' start.
  float rate;
  const float* constants;
};

struct RowwiseAdagrad {
  // initial_accumulator_value, epsilon.
  static constexpr int kConstants = 2;
  static int64_t StateColumns(int64_t) { return 1; }

  void operator()(const float* __restrict gradient, float* __restrict weights,
                  float* __restrict state, int64_t columns) const {
    float squares = 0;
    for (int64_t c = 0; c < columns; ++c) squares += gradient[c] * gradient[c];
    state[0] += squares / columns;
    const float root = std::sqrt(constants[0] + state[0] + constants[1]);
    for (int64_t c = 0; c < columns; ++c) {
      weights[c] -= rate * gradient[c] / root;
    }
  }

  float rate;
  const float* constants;
};

struct Ftrl {
  // initial_accumulator_value, -learning_rate_power, l1, l2, beta.
  static constexpr int kConstants = 5;
  static int64_t StateColumns(int64_t columns) { return 2 * columns; }

  void operator()(const float* __restrict gradient, float* __restrict weights,
                  float* __restrict state, int64_t columns) const {
    const float l1 = constants[2];
    float* __restrict gained = state;
    float* __restrict z = state + columns;
    for (int64_t c = 0; c < columns; ++c) {
      const float old = Power(constants[0] + gained[c]);
      gained[c] += gradient[c] * gradient[c];
      const float now = Power(constants[0] + gained[c]);
      z[c] += gradient[c] - (now - old) / rate * weights[c];
      const float quadratic = (constants[4] + now) / rate + 2 * constants[3];
      // Written so that a NaN stays one.
      const float clipped = z[c] > l1 ? l1 : z[c] < -l1 ? -l1 : z[c];
      weights[c] = (clipped - z[c]) / quadratic;
    }
  }

  float Power(float base) const {
    return constants[1] == 0.5f ? std::sqrt(base)
                                : std::pow(base, constants[1]);
  }

  float rate;
  const float* constants;
};

}  // namespace deepfm_tf

#endif  // DEEPFM_TF_RULES_H_

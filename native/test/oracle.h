// What the index must answer, from plain vectors: fixed-point numbers as vectors.py makes them, multiplied one by one.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <vector>

#include "check.h"
#include "index/index.h"
#include "index/quantize.h"

namespace sm::test {

using Vector = std::vector<float>;

inline Vector unit(Vector x) {
  double square = 0;
  for (const float value : x) square += double{value} * double{value};
  const double scale = square > 0 ? 1.0 / std::sqrt(square) : 0.0;
  for (float& value : x) value = static_cast<float>(value * scale);
  return x;
}

inline Vector random_unit(Random& random, std::int64_t n_dims) {
  Vector x(static_cast<std::size_t>(n_dims));
  for (float& value : x) value = random.normal();
  return unit(std::move(x));
}

// A unit vector whose cosine with `x` is high: `noise` is the length of what is added to it.
inline Vector near(const Vector& x, float noise, Random& random) {
  Vector y = random_unit(random, static_cast<std::int64_t>(x.size()));
  for (std::size_t d = 0; d < x.size(); ++d) y[d] = x[d] + noise * y[d];
  return unit(std::move(y));
}

struct Fixed {
  std::vector<std::int32_t> high;
  std::vector<std::int32_t> wide;
  double length = 0;

  explicit Fixed(const Vector& x) {
    const float steps = high_steps(static_cast<std::int64_t>(x.size()));
    for (const float value : x) {
      const float scaled = value * steps;
      const float whole = std::clamp(std::nearbyint(scaled), -127.0F, 127.0F);
      const float rest = std::clamp(std::nearbyint((scaled - whole) * kLowSteps), -127.0F, 127.0F);
      high.push_back(static_cast<std::int32_t>(whole));
      wide.push_back(kLowSteps * high.back() + static_cast<std::int32_t>(rest));
      length += double{value} * double{value};
    }
    length = std::sqrt(length);
  }
};

inline std::int64_t product(const std::vector<std::int32_t>& a, const std::vector<std::int32_t>& b) {
  std::int64_t sum = 0;
  for (std::size_t d = 0; d < a.size(); ++d) sum += std::int64_t{a[d]} * b[d];
  return sum;
}

inline double cosine(const Fixed& row, const Fixed& query, bool fine = true) {
  const double steps = double{high_steps(static_cast<std::int64_t>(row.wide.size()))} * (fine ? kLowSteps : 1);
  const std::int64_t sum = fine ? product(row.wide, query.wide) : product(row.high, query.high);
  return static_cast<double>(sum) / (steps * steps * query.length);
}

struct Found {
  std::int64_t id;
  double score;
};

class Oracle {
 public:
  void add(std::int64_t id, const Vector& x, const Attributes& attributes) { rows_.insert_or_assign(id, Row{Fixed(x), attributes}); }
  bool remove(std::int64_t id) { return rows_.erase(id) != 0; }
  void clear() { rows_.clear(); }
  std::size_t size() const { return rows_.size(); }

  // Best first, equal ones by id; `passes` judges attributes.
  template <typename Passes>
  std::vector<Found> search(const Vector& query, std::size_t k, bool fine, Passes passes) const {
    const Fixed fixed(query);
    std::vector<Found> found;
    for (const auto& [id, row] : rows_) {
      if (passes(row.attributes)) found.push_back({id, cosine(row.vector, fixed, fine)});
    }
    std::stable_sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.score > b.score; });
    found.resize(std::min(k, found.size()));
    return found;
  }

 private:
  struct Row {
    Fixed vector;
    Attributes attributes;
  };
  std::map<std::int64_t, Row> rows_;
};

}  // namespace sm::test

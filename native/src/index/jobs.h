// The jobs that keep the lists: each is done in steps under the writer's lock, and anything may be written in between.
// Private to src/index.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "clusters.h"

namespace sm {

constexpr std::size_t kMostMoving = 16384;  // rows of which there are two copies at a time

// Spherical k-means on a sample: random rows at first, then each centroid is the mean of the rows nearest to it.
struct Index::Clusters::Train final : Job {
  explicit Train(Clusters& of);
  ~Train() override;
  bool step(Deadline deadline) override;

 private:
  void seed();
  void assign(std::size_t first, std::size_t n);
  void update(std::size_t c);
  void publish();

  Clusters& clusters_;
  std::size_t n_lists_;
  std::vector<std::int64_t> sample_;  // ids: what is removed meanwhile must not stay anywhere
  std::vector<std::uint8_t*> centroids_;
  std::vector<Sum> sums_;
  std::size_t n_sampled_ = 0;
  std::size_t round_ = 0;
  std::size_t at_ = 0;
};

// Moves the tail's rows into the lists.
struct Index::Clusters::Drain final : Job {
  explicit Drain(Clusters& of) : clusters_(of) {}
  bool step(Deadline deadline) override;

 private:
  Clusters& clusters_;
  std::size_t at_ = 0;
};

// Divides a list in two, by 2-means.
struct Index::Clusters::Split final : Job {
  Split(Clusters& of, List& list);
  ~Split() override;
  bool step(Deadline deadline) override;

 private:
  bool seed();
  bool divide();
  void halve();
  void copy_page(Page& page);
  bool finish();

  Clusters& clusters_;
  List& from_;
  std::size_t stride_;  // of the pages that are looked at by 2-means
  Sum sums_[2];
  std::unique_ptr<Centroid> centroids_[2];
  List* to_[2] = {nullptr, nullptr};
  std::size_t round_ = 0;
  std::size_t at_ = 0;
  bool is_halved_ = false;
};

// Moves the rows of a list that has become small into the others, or into the tail, and gives the list up.
struct Index::Clusters::Dissolve final : Job {
  Dissolve(Clusters& of, List& list, bool into_tail) : clusters_(of), from_(list), into_tail_(into_tail) {}
  bool step(Deadline deadline) override;

 private:
  Clusters& clusters_;
  List& from_;
  bool into_tail_;
  std::size_t at_ = 0;
};

// Rows of the lists around a split that are now nearer to one of the two new centroids go there.
struct Index::Clusters::Adopt final : Job {
  Adopt(Clusters& of, List& first, List& second);
  bool step(Deadline deadline) override;

 private:
  void look_at(Page& page, std::vector<Place>& copied);

  Clusters& clusters_;
  List* to_[2];
  std::vector<List*> around_;
  std::size_t list_ = 0;
  std::size_t at_ = 0;
};

// Finds in which lists the ten nearest rows of a sample of rows lie, and with that how far a search has to reach.
struct Index::Clusters::Measure final : Job {
  explicit Measure(Clusters& of);
  bool step(Deadline deadline) override;

 private:
  struct Near {
    std::int32_t score;
    std::int64_t id;
  };
  struct Sampled {
    std::int64_t id;
    std::vector<Near> near;  // best first
  };
  bool scan_pages(Deadline deadline);
  void scan(const Page& page, const std::vector<SignedRow>& queries);
  void look_up(const Sampled& sampled);
  void choose();
  void count(const Sampled& sampled);
  void publish() const;
  std::vector<std::int32_t> gaps_of(const Sampled& sampled) const;

  Clusters& clusters_;
  std::vector<Sampled> sample_;
  std::vector<std::int32_t> needed_;  // for each neighbour, how far below the best the centroid of its list scores
  std::int32_t gap_ = 0;
  double recall_ = 1.0;
  std::size_t most_ = 1;
  std::size_t n_counted_ = 0;
  std::size_t page_ = 0;
  std::size_t at_ = 0;
};

}  // namespace sm

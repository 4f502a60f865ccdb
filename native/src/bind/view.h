// One-dimensional arrays by the buffer protocol, for the one call whose own cost counts: three times as fast as DLPack.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace sm {

// Adjacent elements of `T` in an object's own memory, which stays where it is while this lives. The GIL must be held when
// it is made and when it goes.
template <typename T>
class View {
 public:
  // Throws nb::type_error unless `object` is such an array, and a writable one where T is not const.
  explicit View(nanobind::handle object) {
    constexpr int kWanted = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (std::is_const_v<T> ? 0 : PyBUF_WRITABLE);
    if (PyObject_GetBuffer(object.ptr(), &buffer_, kWanted) != 0) {
      PyErr_Clear();
      throw nanobind::type_error("an array of adjacent elements is needed, and one that can be written for results");
    }
    if (buffer_.ndim != 1 || !holds(buffer_.format)) {
      PyBuffer_Release(&buffer_);
      throw nanobind::type_error("query and scores must be float32 arrays, ids int64, each of one dimension");
    }
  }
  View(const View&) = delete;
  View& operator=(const View&) = delete;
  ~View() { PyBuffer_Release(&buffer_); }

  T* data() const noexcept { return static_cast<T*>(buffer_.buf); }
  std::size_t size() const noexcept { return static_cast<std::size_t>(buffer_.shape[0]); }

 private:
  using Element = std::remove_const_t<T>;
  static_assert(std::is_same_v<Element, float> || std::is_same_v<Element, std::int64_t>, "float32 or int64");

  // The codes of Python's struct module; which of the two is int64 depends on the platform.
  bool holds(const char* format) const noexcept {
    if (format == nullptr || format[0] == '\0' || format[1] != '\0') return false;
    if constexpr (std::is_same_v<Element, float>) return format[0] == 'f';
    return (format[0] == 'l' || format[0] == 'q') && buffer_.itemsize == sizeof(std::int64_t);
  }

  Py_buffer buffer_;
};

}  // namespace sm

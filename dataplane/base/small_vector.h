// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A vector whose first N elements need no allocation, and Boxed, a rarely used value on the heap.
//
// A call keeps many short lists (two legs, one dialog, one media section, one tag) and copies them
// with each request. Elements are stored in the object while there are at most N, on the heap once
// there were more. Both types have value semantics: a copy copies the elements. As with
// std::vector, growing invalidates references to elements, and here so does moving the list.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace millrace {

template <typename T, std::uint32_t N>
class SmallVector {
  static_assert(std::is_nothrow_move_constructible_v<T>);

 public:
  using value_type = T;
  using iterator = T*;
  using const_iterator = const T*;

  // Not defaulted, so that a const list may be made without an initializer.
  SmallVector() noexcept {}  // NOLINT(modernize-use-equals-default)
  SmallVector(std::initializer_list<T> values) : SmallVector() {
    for (const T& value : values) push_back(value);
  }
  SmallVector(const SmallVector& other) : SmallVector() {
    reserve(other.size_);
    std::uninitialized_copy(other.begin(), other.end(), data());
    size_ = other.size_;
  }
  SmallVector(SmallVector&& other) noexcept { take(other); }
  SmallVector& operator=(const SmallVector& other) {
    if (this != &other) *this = SmallVector(other);
    return *this;
  }
  SmallVector& operator=(SmallVector&& other) noexcept {
    if (this == &other) return *this;
    clear();
    release();
    take(other);
    return *this;
  }
  ~SmallVector() {
    clear();
    release();
  }

  [[nodiscard]] T* data() { return is_inline() ? inline_elements() : heap_; }
  [[nodiscard]] const T* data() const {
    return is_inline() ? const_cast<SmallVector*>(this)->inline_elements() : heap_;
  }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] T* begin() { return data(); }
  [[nodiscard]] T* end() { return data() + size_; }
  [[nodiscard]] const T* begin() const { return data(); }
  [[nodiscard]] const T* end() const { return data() + size_; }
  [[nodiscard]] T& operator[](std::size_t at) { return data()[at]; }
  [[nodiscard]] const T& operator[](std::size_t at) const { return data()[at]; }
  [[nodiscard]] T& front() { return *data(); }
  [[nodiscard]] const T& front() const { return *data(); }
  [[nodiscard]] T& back() { return data()[size_ - 1]; }
  [[nodiscard]] const T& back() const { return data()[size_ - 1]; }

  void reserve(std::size_t count) {
    if (count > capacity_) move_to_heap(allocate(count), count);
  }
  // `arguments` may refer to an element.
  template <typename... Arguments>
  T& emplace_back(Arguments&&... arguments) {
    if (size_ < capacity_) {
      std::construct_at(data() + size_, std::forward<Arguments>(arguments)...);
    } else {
      const std::size_t capacity = std::size_t{capacity_} + capacity_ / 2 + 1;
      T* const room = allocate(capacity);
      try {
        std::construct_at(room + size_, std::forward<Arguments>(arguments)...);
      } catch (...) {
        deallocate(room);
        throw;
      }
      move_to_heap(room, capacity);
    }
    return data()[size_++];
  }
  void push_back(const T& value) { emplace_back(value); }
  void push_back(T&& value) { emplace_back(std::move(value)); }
  void pop_back() { std::destroy_at(data() + --size_); }
  void resize(std::size_t count) {
    while (size_ > count) pop_back();
    reserve(count);
    while (size_ < count) emplace_back();
  }
  void clear() { erase(begin(), end()); }
  T* erase(const T* first, const T* last) {
    T* const at = data() + (first - data());
    T* const rest = data() + (last - data());
    T* const end_of_kept = std::move(rest, end(), at);
    std::destroy(end_of_kept, end());
    size_ = static_cast<std::uint32_t>(end_of_kept - data());
    return at;
  }
  T* erase(const T* at) { return erase(at, at + 1); }

  friend bool operator==(const SmallVector& a, const SmallVector& b) {
    return std::ranges::equal(a, b);
  }

 private:
  [[nodiscard]] bool is_inline() const { return capacity_ == N; }
  [[nodiscard]] T* inline_elements() { return std::launder(reinterpret_cast<T*>(inline_)); }
  [[nodiscard]] static T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new(count * sizeof(T)));
  }
  static void deallocate(T* memory) { ::operator delete(memory); }
  void release() {
    if (!is_inline()) deallocate(heap_);
    capacity_ = N;
  }
  void move_to_heap(T* room, std::size_t capacity) {
    std::uninitialized_move(begin(), end(), room);
    std::destroy(begin(), end());
    release();
    heap_ = room;
    capacity_ = static_cast<std::uint32_t>(capacity);
  }
  // Precondition: this is empty and inline. Leaves `other` so.
  void take(SmallVector& other) {
    if (other.is_inline()) {
      std::uninitialized_move(other.begin(), other.end(), inline_elements());
      size_ = other.size_;
      other.clear();
    } else {
      heap_ = other.heap_;
      size_ = std::exchange(other.size_, 0);
      capacity_ = std::exchange(other.capacity_, N);
    }
  }

  static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
  std::uint32_t size_ = 0, capacity_ = N;  // capacity_ == N: inline
  union {
    alignas(T) std::byte inline_[N * sizeof(T)];
    T* heap_;
  };
};

// Null or a value. 8 bytes, where std::optional has room for the value.
template <typename T>
class Boxed {
 public:
  Boxed() = default;
  explicit Boxed(T value) : value_(std::make_unique<T>(std::move(value))) {}
  Boxed(const Boxed& other) : value_(other ? std::make_unique<T>(*other) : nullptr) {}
  Boxed(Boxed&&) noexcept = default;
  Boxed& operator=(const Boxed& other) {
    if (this != &other) *this = Boxed(other);
    return *this;
  }
  Boxed& operator=(Boxed&&) noexcept = default;
  ~Boxed() = default;

  [[nodiscard]] explicit operator bool() const { return value_ != nullptr; }
  [[nodiscard]] T& operator*() { return *value_; }
  [[nodiscard]] const T& operator*() const { return *value_; }
  [[nodiscard]] T* operator->() { return value_.get(); }
  [[nodiscard]] const T* operator->() const { return value_.get(); }
  [[nodiscard]] T* get() { return value_.get(); }
  // The value, made if there is none.
  [[nodiscard]] T& ensure() {
    if (!value_) value_ = std::make_unique<T>();
    return *value_;
  }
  void reset() { value_.reset(); }

  friend bool operator==(const Boxed& a, const Boxed& b) {
    return a && b ? *a == *b : static_cast<bool>(a) == static_cast<bool>(b);
  }

 private:
  std::unique_ptr<T> value_;
};

}  // namespace millrace

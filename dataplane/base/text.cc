// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/base/text.h"

#include <ctime>
#include <system_error>

namespace millrace {

std::string quote(std::string_view text) {
  constexpr std::size_t kLongest = 64;
  std::string out = "'";
  for (const char c : text.substr(0, kLongest)) out += c >= ' ' && c <= '~' ? c : '?';
  return out += text.size() > kLongest ? "...'" : "'";
}

std::string error_text(int error) { return std::generic_category().message(error); }

std::string utc_text(std::chrono::system_clock::time_point time) {
  using std::chrono::microseconds;
  const auto second = std::chrono::floor<std::chrono::seconds>(time);
  const auto micros = std::chrono::duration_cast<microseconds>(time - second).count();
  const std::time_t whole = std::chrono::system_clock::to_time_t(second);
  std::tm utc{};
  ::gmtime_r(&whole, &utc);
  std::array<char, 40> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S.", &utc);
  std::string out(text.data(), size);
  const std::string digits = std::to_string(micros);
  return out.append(6 - digits.size(), '0').append(digits).append("Z");
}

}  // namespace millrace

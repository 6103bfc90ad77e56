// SPDX-License-Identifier: BSD-3-Clause
// Property test: random offers, answers, refusals (no message), failures and deletes of a caller
// and the branches of its call, against a small model of RFC 3264.
//
// After each step media goes where the last answered exchange put it, an offer that waits has early
// media in sections that are not in force, and the ports in use are those of descriptions in force
// or waiting. MILLRACE_MODEL_STEPS and MILLRACE_MODEL_SEED set the length and the seed.

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "tests/control/call/call_fixture.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kLines = 3;
constexpr std::size_t kPhones = 5;

using Sdp = std::vector<int>;  // ports of its m= lines; 0: removed or refused
using Lease = std::shared_ptr<std::optional<LocalPort>>;  // a pair; its port once printed

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
  const char* const text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): one thread
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

int line(const Sdp& sdp, std::size_t i) { return i < sdp.size() ? sdp[i] : -1; }

struct Party {
  const char* address;
  std::string tag, branch = {};
  bool answered = false;  // a phone: its dialog has an answer
  Sdp agreed = {};        // in force; nothing was said yet of the lines past its end
  Sdp offer = {};         // to the caller, or of the caller to `offered_to`; empty: none waits
  std::array<Lease, kLines> leases = {};

  [[nodiscard]] bool shares(const Party& other) const {
    for (std::size_t i = 0; i < kLines; ++i) {
      if (leases[i] && leases[i] == other.leases[i]) return true;
    }
    return false;
  }
};

class CallModel : public CallTest {
 protected:
  void SetUp() override {
    config.timeouts.quarantine = 0s;
    restart();
    start();
  }
  void start() {
    caller = {.address = kA, .tag = "A"};
    phones.clear();
    offered_to = joined = nullptr;
    id = "call" + std::to_string(++number);
    history.clear();
    noted_ports.clear();
  }

  // ---- random choices: one draw a statement, as compilers order arguments differently ----
  std::size_t draw(std::size_t count) { return random() % count; }
  bool chance(unsigned percent) { return random() % 100 < percent; }
  int draw_port() { return port = port >= 60000 ? 2000 : port + 4; }
  Sdp draw_offer(std::size_t least) {
    const std::size_t count = std::max<std::size_t>(least + draw(kLines - least + 1), 1);
    Sdp result;
    while (result.size() < count) result.push_back(chance(15) ? 0 : draw_port());
    return result;
  }
  Sdp draw_answer(const Sdp& offered) {
    Sdp result;
    for (const int each : offered) result.push_back(each == 0 || chance(20) ? 0 : draw_port());
    return result;
  }
  Party* draw_phone(bool answered) {
    std::vector<Party*> some;
    for (const auto& each : phones) {
      if (each->answered || !answered) some.push_back(each.get());
    }
    return some.empty() ? nullptr : some[draw(some.size())];
  }

  // ---- the model ----
  [[nodiscard]] bool is_answered() const {
    return std::ranges::any_of(phones, [](const auto& each) { return each->answered; });
  }
  [[nodiscard]] int offers(const Party& phone, std::size_t i) const {
    return offered_to == &phone ? line(caller.offer, i) : -1;
  }
  void drop_offer_to(const Party& phone) {
    if (offered_to != &phone) return;
    offered_to = nullptr;
    caller.offer.clear();
  }
  [[nodiscard]] bool uses(const Party& phone, std::size_t i) const {
    if (offers(phone, i) > 0 || line(phone.offer, i) > 0) return true;
    const int a = line(caller.agreed, i), b = line(phone.agreed, i);
    return (a > 0 || b > 0) && a != 0 && b != 0;
  }
  void lease(Party& phone, const Sdp& sdp) {
    for (std::size_t i = 0; i < sdp.size(); ++i) {
      for (Party* party : {&caller, &phone}) {
        Lease& at = party->leases[i];
        if (sdp[i] > 0 && !at) at = std::make_shared<std::optional<LocalPort>>();
      }
    }
  }
  void release() {
    for (std::size_t i = 0; i < kLines; ++i) {
      bool used = false;
      for (const auto& phone : phones) {
        const bool here = uses(*phone, i);
        used |= here;
        if (!here) phone->leases[i].reset();
      }
      if (!used) caller.leases[i].reset();
    }
  }
  // The answer that the relay keeps: without media that was not offered or has no ports.
  [[nodiscard]] Sdp relayed(const Sdp& answer, const Sdp& offered, const Party& phone) const {
    Sdp result(offered.size(), 0);
    for (std::size_t i = 0; i < answer.size(); ++i) {
      const bool live = offered[i] > 0 && caller.leases[i] && phone.leases[i];
      if (live) result[i] = answer[i];
    }
    return result;
  }
  static void agree(Party& party, const Sdp& sdp) {
    if (party.agreed.size() < sdp.size()) party.agreed.resize(sdp.size());
    std::ranges::copy(sdp, party.agreed.begin());
  }

  // ---- messages ----
  [[nodiscard]] Request message(Command command, const Party& offerer, std::string_view to,
                                const Party& sender, const Sdp& sdp) {
    std::string body = session(sender.address);
    for (std::size_t i = 0; i < sdp.size(); ++i) body += media(i == 1 ? "video" : "audio", sdp[i]);
    history += std::string(name(command)) + " " + offerer.tag + "->" + std::string(to) + " by " +
               sender.tag;
    for (const int each : sdp) history += " " + std::to_string(each);
    history += "\n";
    Request result = request(command, id);
    result.from_tag = offerer.tag;
    result.to_tag = keep(std::string(to));
    result.sdp = keep(std::move(body));
    return result;
  }
  // The relay printed these lines to `reader`.
  void note(const Printed& printed, Party& reader, const Sdp& live) {
    ASSERT_EQ(printed.session.sections.size(), live.size());
    for (std::size_t i = 0; i < live.size(); ++i) {
      ASSERT_EQ(printed.port(i) != 0, live[i] > 0) << i;
      if (live[i] <= 0) continue;
      std::optional<LocalPort>& known = *reader.leases[i];
      ASSERT_TRUE(!known || known == printed.local(i)) << i;
      known = printed.local(i);
    }
  }

  void offer_to_phone(Party& phone, const Sdp& sdp) {
    Request asked = message(Command::offer, caller, phone.answered ? phone.tag : "", caller, sdp);
    asked.via_branch = phone.branch;
    const bool proposes = is_answered();
    if (proposes && sdp.size() < caller.agreed.size()) {
      EXPECT_NE(reason(asked).find("m= lines where there were"), std::string::npos);
      return;
    }
    const Printed printed = print(asked);
    lease(phone, sdp);
    if (proposes) {
      phone.offer.clear();
      caller.offer = sdp;
      offered_to = &phone;
    } else {
      offered_to = nullptr;
      caller.offer.clear();
      caller.agreed = sdp;
    }
    if (joined == nullptr) joined = &phone;
    note(printed, phone, sdp);
    release();
  }
  void offer_to_new_phone() {
    if (phones.size() == kPhones) return;
    const Sdp sdp = draw_offer(is_answered() ? caller.agreed.size() : 1);
    const std::string name = std::to_string(++number);
    phones.push_back(
        std::make_unique<Party>(Party{.address = kB, .tag = "t" + name, .branch = "b" + name}));
    offer_to_phone(*phones.back(), sdp);
  }
  void answer_by_phone(Party& phone, bool forks) {
    // Lines that another branch has agreed meanwhile are the caller's in this dialog too.
    Sdp offered = offered_to == &phone ? caller.offer : Sdp();
    for (std::size_t i = offered.size(); i < caller.agreed.size(); ++i) {
      offered.push_back(caller.agreed[i]);
    }
    Sdp sdp = draw_answer(offered);
    const bool is_short = sdp.size() > 1 && chance(10);
    if (is_short) sdp.pop_back();
    Request asked = message(Command::answer, caller, phone.tag, phone, sdp);
    asked.via_branch = phone.branch;
    asked.new_branch = forks;
    const Printed printed = print(asked);
    Sdp kept = relayed(sdp, offered, phone);
    if (offered_to == &phone) agree(caller, caller.offer);
    drop_offer_to(phone);
    phone.offer.clear();
    agree(phone, kept);
    phone.answered = true;
    joined = &phone;
    kept.resize(sdp.size());
    note(printed, caller, kept);
    release();
  }
  // Another phone answers that the proxy's offer to `phone` reached too.
  void fork(const Party& phone) {
    if (phones.size() == kPhones) return;
    const Party* like = &phone;
    for (const auto& each : phones) {
      if (each->branch == phone.branch) like = each.get();
    }
    auto forked = std::make_unique<Party>(
        Party{.address = kB, .tag = "t" + std::to_string(++number), .branch = phone.branch});
    // The ports of the offer that reached it: the first that a phone of this branch still has.
    for (const auto& each : phones) {
      if (each.get() != like && !each->shares(*like)) continue;
      for (std::size_t i = 0; i < kLines; ++i) {
        if (!forked->leases[i]) forked->leases[i] = each->leases[i];
      }
    }
    phones.push_back(std::move(forked));
    answer_by_phone(*phones.back(), true);
  }
  void offer_by_phone(Party& phone) {
    const Sdp sdp = draw_offer(phone.agreed.size());
    const Printed printed = print(message(Command::offer, phone, caller.tag, phone, sdp));
    lease(phone, sdp);
    drop_offer_to(phone);
    phone.offer = sdp;
    note(printed, caller, sdp);
    release();
  }
  void answer_by_caller(Party& phone) {
    const Sdp offered = phone.offer.empty() ? phone.agreed : phone.offer;
    const Sdp sdp = draw_answer(offered);
    const Printed printed = print(message(Command::answer, phone, caller.tag, caller, sdp));
    const Sdp kept = relayed(sdp, offered, phone);
    if (!phone.offer.empty()) phone.agreed = std::exchange(phone.offer, {});
    drop_offer_to(phone);
    agree(caller, kept);
    joined = &phone;
    note(printed, phone, kept);
    release();
  }
  void fail(const Party& phone) {
    const Party nowhere{.address = "127.0.0.1", .tag = caller.tag};
    const Sdp sdp = {draw_port(), draw_port(), draw_port()};
    EXPECT_NE(
        reason(message(Command::offer, caller, phone.answered ? phone.tag : "", nowhere, sdp)), "");
    if (!phone.answered) return;
    EXPECT_NE(reason(message(Command::answer, caller, phone.tag, nowhere, sdp)), "");
  }
  void remove(const Party& phone) {
    Request asked = request(Command::remove, id);
    asked.removal.delay = 0s;
    asked.removal.match_to_tag = phone.answered;
    (phone.answered ? asked.to_tag : asked.via_branch) = phone.answered ? phone.tag : phone.branch;
    history += "delete " + phone.tag + "\n";
    EXPECT_EQ(std::get<reply::Deleted>(handle(asked)).warning, "");
    drop_offer_to(phone);
    const bool had_media = joined == &phone;
    std::erase_if(phones, [&](const auto& each) { return each.get() == &phone; });
    if (phones.empty()) return start();
    if (had_media) {
      joined = nullptr;
      for (const auto& each : phones) {
        if (joined == nullptr || each->answered || !joined->answered) joined = each.get();
      }
    }
    release();
  }
  void step() {
    Party* const phone = draw_phone(false);
    const std::size_t what = draw(100);
    if (phone == nullptr || what < 8) return offer_to_new_phone();
    Party* const answered = draw_phone(true);
    if (what < 35) {
      const std::size_t least = is_answered() && !chance(5) ? caller.agreed.size() : 1;
      const Sdp sdp = draw_offer(least);
      return offer_to_phone(*phone, sdp);
    }
    if (what < 60) return answer_by_phone(*phone, false);
    if (what < 65) return fail(*phone);
    if (what < 72) return remove(*phone);
    if (answered == nullptr) return;
    if (what < 76) return fork(*answered);
    return what < 88 ? offer_by_phone(*answered) : answer_by_caller(*answered);
  }

  // ---- the relay against the model ----
  void expect_flow(const Party& party, std::size_t i, std::optional<Endpoint> to,
                   bool active) const {
    const Lease& at = party.leases[i];
    if (!at || !*at) return;
    const FlowReport seen = flow(**at);
    ASSERT_EQ(seen.active, active) << "port " << i << " of " << party.tag;
    ASSERT_EQ(seen.destination, to) << "port " << i << " of " << party.tag;
  }
  void check() {
    std::set<Lease> leases;
    std::set<Lease> active;
    for (std::size_t i = 0; i < kLines; ++i) {
      if (caller.leases[i]) leases.insert(caller.leases[i]);
      for (const auto& phone : phones) {
        if (phone->leases[i]) leases.insert(phone->leases[i]);
      }
      if (joined == nullptr) continue;
      const int a = line(caller.agreed, i), b = line(joined->agreed, i);
      const int of_a = offers(*joined, i), of_b = line(joined->offer, i);
      const bool in_force = a > 0 && b > 0;
      const int goes_to_a = in_force || (of_a <= 0 && of_b <= 0 && b < 0) ? a : of_a;
      const int goes_to_b = in_force ? b : of_b;
      const bool lives = (goes_to_a > 0 || goes_to_b > 0) && joined->leases[i] && caller.leases[i];
      const auto at = [](const char* address, int where) {
        return where > 0 ? endpoint(address, where) : std::nullopt;
      };
      expect_flow(*joined, i, at(kA, lives ? goes_to_a : 0), lives);
      expect_flow(caller, i, at(kB, lives ? goes_to_b : 0), lives);
      if (lives) active.insert(joined->leases[i]);
    }
    for (const auto& phone : phones) {
      for (std::size_t i = 0; i < kLines; ++i) {
        if (phone.get() == joined || active.contains(phone->leases[i])) continue;
        expect_flow(*phone, i, std::nullopt, false);
      }
    }
    ASSERT_EQ(statistics().ports_used, 2 * leases.size());
  }

  std::mt19937 random{static_cast<std::mt19937::result_type>(setting("MILLRACE_MODEL_SEED", 1))};
  unsigned number = 0;
  int port = 2000;
  std::string id, history;
  Party caller;
  std::vector<std::unique_ptr<Party>> phones;  // in the order of their dialogs
  Party* offered_to = nullptr;                 // by `caller.offer`
  Party* joined = nullptr;                     // the phone that has the media
};

TEST_F(CallModel, RandomRequestsLeaveMediaWhereTheLastAnsweredExchangePutIt) {
  const std::uint64_t steps = setting("MILLRACE_MODEL_STEPS", 1500);
  for (std::uint64_t i = 0; i < steps; ++i) {
    step();
    check();
    ASSERT_FALSE(HasFailure()) << "step " << i << " after\n" << history;
    texts.clear();
  }
}

}  // namespace
}  // namespace millrace

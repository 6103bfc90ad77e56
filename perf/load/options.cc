// SPDX-License-Identifier: BSD-3-Clause
#include "perf/load/options.h"

#include <algorithm>
#include <iterator>
#include <sstream>

#include <CLI/CLI.hpp>

#include "perf/load/phones.h"

namespace millrace::loadgen {
namespace {

// What the command line says, before it is looked at as a whole.
struct Words {
  std::string control, connections, codec = "pcmu", caller, callee, directions;
  std::string device, callee_device;
  std::vector<std::string> gateways;
  std::optional<std::size_t> payload;
  std::optional<double> interval_ms;
};

constexpr std::array<std::string_view, 8> kModeHelp = {
    "Fixed load: so many calls, measured for a time",
    "Calls come and go (--cps, --hold) while the others (--calls) talk on",
    "No media: offer, answer and delete, with --outstanding requests at a time",
    "No media: --calls are set up and kept: how fast, and how much memory they take",
    "No media: one request at a time, beside a bare echo server on the same kind of socket",
    "The highest load without loss (NDR) and with 0.5 % (PDR), by bisection",
    "A flood of the same calls at several times their pace, and the recovery from it",
    "A long run with a time series",
};

void add_relay(CLI::App& app, Options& options, Words& words) {
  const auto group = "Relay";
  app.add_option("--control", words.control,
                 "Its control socket: unix:/run/millrace/ng.sock or udp:127.0.0.1:2223")
      ->type_name("ADDRESS")
      ->required()
      ->group(group);
  app.add_option("--protocol", options.protocol, "What is spoken there")
      ->type_name("ng|rtpproxy|mediaproxy")
      ->check(CLI::IsMember({"ng", "rtpproxy", "mediaproxy"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--connections", words.connections,
                 "UNIX sockets: a new connection for each request, or kept ones (default: as the "
                 "protocol's proxy modules do)")
      ->type_name("new|kept")
      ->check(CLI::IsMember({"new", "kept"}))
      ->group(group);
  app.add_option("--control-netns", options.control.network,
                 "UDP: speak from this network namespace, such as /run/netns/NAME")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--outstanding", options.outstanding, "Requests at a time")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str()
      ->group(group);
  app.add_option("--direction", words.directions,
                 "ng: the relay's interfaces towards caller and callee")
      ->type_name("CALLER,CALLEE")
      ->group(group);
  app.add_option("--relay-pid", options.relay_pid, "Its process: CPU time and memory are measured")
      ->check(CLI::PositiveNumber)
      ->type_name("PID")
      ->group(group);
}

void add_calls(CLI::App& app, Options& options, Words& words) {
  const auto group = "Calls";
  app.add_option("--calls", options.calls, "Calls that stay to the end")
      ->check(CLI::Range(std::size_t{0}, Phones::kMaxCalls))
      ->capture_default_str()
      ->group(group);
  app.add_option("--cps", options.calls_per_second,
                 "Calls set up a second (default: as the relay answers)")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  app.add_option("--hold", options.hold,
                 "With --cps: further calls come at that rate, and stay so long")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  std::vector<std::string> codecs;
  codecs.reserve(std::size(kShapes));
  for (const Shape& shape : kShapes) codecs.emplace_back(shape.name);
  app.add_option("--codec", words.codec, "What the phones send: " + CLI::detail::join(codecs, ", "))
      ->type_name("NAME")
      ->check(CLI::IsMember(codecs))
      ->capture_default_str()
      ->group(group);
  app.add_option("--payload", words.payload, "Bytes of a packet after the RTP header (by codec)")
      ->check(CLI::Range(kStampSize, kMaxPayload))
      ->group(group);
  app.add_option("--interval", words.interval_ms, "Time from packet to packet (by codec)")
      ->type_name("MS")
      ->check(CLI::Range(0.1, 1000.0))
      ->group(group);
  app.add_option("--rtcp-interval", options.rtcp_interval, "From report to report; 0 = no RTCP")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->group(group);
  app.add_flag("--rtcp-mux", options.rtcp_mux, "RTCP goes along with RTP (RFC 5761)")->group(group);
  app.add_flag("--nat", options.nat, "As behind NATs: the SDP names other ports than are sent from")
      ->group(group);
  app.add_option("--seed", options.seed, "Of the moments at which calls send")
      ->capture_default_str()
      ->group(group);
}

void add_wire(CLI::App& app, Options& options, Words& words) {
  const auto group = "Wire";
  app.add_option("--caller", words.caller,
                 "Callers' address, or address:port, the first of them (127.0.0.1:20000)")
      ->type_name("ADDRESS")
      ->group(group);
  app.add_option("--callee", words.callee,
                 "Callees' address, or address:port, the first of them (127.0.0.1:22000)")
      ->type_name("ADDRESS")
      ->group(group);
  app.add_option("--sockets", options.sockets, "RTP sockets a party, that all its calls share")
      ->check(CLI::Range(1, 64))
      ->capture_default_str()
      ->group(group);
  app.add_option("--device", words.device,
                 "A DPDK device in place of kernel sockets: net_af_xdp0,iface=x, 0000:3b:00.0")
      ->type_name("DEVICE")
      ->group(group);
  app.add_option("--callee-device", words.callee_device, "Another one for the callees")
      ->type_name("DEVICE")
      ->group(group);
  app.add_option("--gateway", words.gateways,
                 "With a device: next hop of a party to what is not in its network")
      ->type_name("ADDRESS")
      ->delimiter(',')
      ->group(group);
  app.add_flag("--hugepages", options.hugepages, "With a device: packet buffers in huge pages")
      ->group(group);
  app.add_option("--cpu", options.cpu, "Run on this core alone")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  app.add_option("--nap-us", options.nap_us,
                 "Longest sleep while nothing is due; 0 = never (it polls)")
      ->check(CLI::Range(0, 10000))
      ->capture_default_str()
      ->group(group);
}

void add_measurement(CLI::App& app, Options& options) {
  const auto group = "Measurement";
  app.add_option("--warm-up", options.warm_up, "Before it begins")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->group(group);
  app.add_option("--duration", options.duration, "Length of it")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 1e6))
      ->capture_default_str()
      ->group(group);
  app.add_option("--every", options.every, "A row of the time series; 0 = none")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->group(group);
  app.add_option("--max-loss", options.max_loss, "Exit with status 1 if more is lost")
      ->type_name("PERCENT")
      ->check(CLI::Range(0.0, 100.0))
      ->group(group);
  app.add_option("--max-delay", options.max_delay_ms, "The same if the median delay is longer")
      ->type_name("MS")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  app.add_option("--json", options.json, "Write everything measured, and the conditions, there")
      ->type_name("FILE")
      ->group(group);
}

void add_search(CLI::App& app, Options& options) {
  const auto group = "Search";
  app.add_option("--resolution", options.resolution, "Calls: the search ends when it is this close")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->group(group);
  app.add_option("--allow", options.allow, "Packets lost in a trial that count as none")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->group(group);
}

void add_overload(CLI::App& app, Options& options) {
  const auto group = "Overload";
  app.add_option("--factor", options.factor, "How many times as fast the calls send in the flood")
      ->check(CLI::Range(1.0, 1000.0))
      ->capture_default_str()
      ->group(group);
  app.add_option("--flood", options.flood, "Length of the flood; --duration goes before and after")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 1e6))
      ->capture_default_str()
      ->group(group);
}

Result<Endpoint> party(std::string_view option, std::string_view text, Endpoint fallback) {
  if (text.empty()) return fallback;
  if (const auto endpoint = Endpoint::parse(text)) return *endpoint;
  if (const auto address = IpAddress::parse(text)) return Endpoint{*address, fallback.port};
  return fail(std::string(option) + ": '" + std::string(text) +
              "' is no address: write 198.18.0.10, 198.18.0.10:20000 or [2001:db8::10]:20000");
}

// "198.18.0.10/24": with a device there is no kernel that knows the network's length.
Result<void> settle_device(const Words& words, Options& options) {
  options.devices = {words.device,
                     words.callee_device.empty() ? words.device : words.callee_device};
  if (words.device.empty()) {
    if (words.callee_device.empty() && words.gateways.empty() && !options.hugepages) return {};
    return fail("--callee-device, --gateway and --hugepages go with --device");
  }
  const std::array<std::string_view, 2> names = {"--caller", "--callee"};
  const std::array<std::string_view, 2> texts = {words.caller, words.callee};
  for (std::size_t i = 0; i < 2; ++i) {
    const auto prefix = Prefix::parse(texts[i]);
    if (!prefix) {
      return fail(std::string(names[i]) +
                  ": with --device, write an address and its network's "
                  "length, such as 198.18.0.10/24");
    }
    options.parties[i].address = prefix->address;
    options.prefix_lengths[i] = prefix->length;
  }
  for (const std::string& text : words.gateways) {
    const auto gateway = IpAddress::parse(text);
    if (!gateway) return fail("--gateway: " + gateway.error().message);
    options.gateways.push_back(*gateway);
  }
  return {};
}

Result<void> settle_parties(const Words& words, Options& options) {
  // Without media nobody need be there, but relays refuse loopback addresses of others.
  if (options.mode == Mode::control || options.mode == Mode::fill ||
      options.mode == Mode::latency) {
    options.parties[0].address = IpAddress::v4(198, 18, 0, 10);
    options.parties[1].address = IpAddress::v4(198, 18, 0, 11);
  }
  const std::array<std::string_view, 2> names = {"--caller", "--callee"};
  const std::array<std::string_view, 2> texts = {words.caller, words.callee};
  for (std::size_t i = 0; i < 2; ++i) {
    auto endpoint = options.devices[i].empty() ? party(names[i], texts[i], options.parties[i])
                                               : Result<Endpoint>(options.parties[i]);
    if (!endpoint) return std::unexpected(endpoint.error());
    const unsigned first = endpoint->port.number();
    // With NATs, twice as many are spoken of.
    if (first % 2 != 0 || first + 4 * options.sockets > 65536) {
      return fail(std::string(names[i]) + ": the first port is an even one, with room for " +
                  std::to_string(4 * options.sockets) + " from there on");
    }
    options.parties[i] = *endpoint;
  }
  return {};
}

Result<void> settle(const Words& words, Options& options) {
  const std::string network = options.control.network;
  auto control = ControlAddress::parse(words.control);
  if (!control) return fail("--control: " + control.error().message);
  options.control = *control;
  options.control.network = network;
  options.control.keep = words.connections == "kept" ||
                         (words.connections.empty() && options.protocol == "mediaproxy");
  if (options.protocol == "mediaproxy" && options.control.udp) {
    return fail("--control: MediaProxy's protocol is spoken on UNIX sockets only");
  }
  options.shape = *std::ranges::find(kShapes, words.codec, &Shape::name);
  if (words.payload) options.shape.payload = *words.payload;
  if (words.interval_ms) {
    options.shape.interval = std::chrono::microseconds(std::lround(*words.interval_ms * 1000));
  }
  if (!words.directions.empty()) {
    options.directions = CLI::detail::split(words.directions, ',');
    if (options.directions.size() != 2) {
      return fail("--direction: write two names, the caller's interface first: public,core");
    }
  }
  if (options.mode == Mode::soak && options.every == 0) options.every = 10;
  const bool come_and_go = options.calls_per_second > 0 && options.hold > 0;
  if (options.hold > 0 && !come_and_go) return fail("--hold needs --cps, the rate of such calls");
  if (options.mode == Mode::churn && !come_and_go) {
    return fail(
        "churn needs --cps and --hold: how many calls come a second, and how long they stay");
  }
  const bool comes_and_goes =
      options.mode == Mode::run || options.mode == Mode::churn || options.mode == Mode::soak;
  if (options.hold > 0 && !comes_and_goes) {
    return fail("--hold is for run, churn and soak");
  }
  if (options.calls == 0 && !come_and_go) {
    return fail("--calls 0 leaves nothing to do without --cps and --hold");
  }
  if (const auto device = settle_device(words, options); !device) return device;
  return settle_parties(words, options);
}

std::string quoted(int argc, const char* const* argv) {
  std::string line;
  for (int i = 0; i < argc; ++i) {
    const std::string_view word = argv[i];
    const bool plain = !word.empty() && word.find_first_of(" \t'\"\\$&;|<>()*?") == word.npos;
    if (i > 0) line += ' ';
    line += plain ? std::string(word) : "'" + std::string(word) + "'";
  }
  return line;
}

}  // namespace

std::expected<Options, Exit> parse_options(int argc, const char* const* argv,
                                           const std::string& version) {
  Options options;
  Words words;
  CLI::App app(
      "Calls with RTP for media relays: it signals them through the relay's control socket, plays\n"
      "both phones of each, and measures what the relay does to their packets.\n"
      "Exit status: 0 measured, 1 a requirement was missed or nothing could be measured,\n"
      "2 wrong command line. Ctrl-C ends it early and reports what was measured so far.",
      "millrace-load");
  app.set_version_flag("--version", version, "Print version and build, and exit");
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.require_subcommand(1);
  for (std::size_t i = 0; i < kModeNames.size(); ++i) {
    CLI::App* const mode =
        app.add_subcommand(std::string(kModeNames[i]), std::string(kModeHelp[i]));
    mode->callback([&options, i] { options.mode = static_cast<Mode>(i); });
    add_relay(*mode, options, words);
    add_calls(*mode, options, words);
    add_wire(*mode, options, words);
    add_measurement(*mode, options);
    if (kModeNames[i] == "search") add_search(*mode, options);
    if (kModeNames[i] == "overload") add_overload(*mode, options);
  }
  const auto wrong = [](const std::string& message) {
    return std::unexpected(Exit{kExitOptions, "", "millrace-load: " + message + "\n"});
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream output;
    std::ostringstream complaint;
    const int status = app.exit(error, output, complaint) == 0 ? 0 : kExitOptions;
    return std::unexpected(Exit{status, output.str(), complaint.str()});
  }
  if (const auto settled = settle(words, options); !settled) return wrong(settled.error().message);
  options.command_line = quoted(argc, argv);
  return options;
}

}  // namespace millrace::loadgen

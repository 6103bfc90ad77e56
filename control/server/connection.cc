// SPDX-License-Identifier: BSD-3-Clause
#include "control/server/connection.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace millrace {

namespace {

// Receive buffer. Overwritten by the next recv() of any connection of this thread.
thread_local std::array<char, 65536> chunk;

// In Connection::events_: a thread serves the connection.
constexpr std::uint32_t kBusy = 1U << 31;

// send() takes up to one skb (SKB_MAX_ALLOC and more) as a whole or not at all.
constexpr std::size_t kSingleSkb = 32'768;

}  // namespace

Connections::Process Connections::process_of(const ucred& peer) {
  return {peer.pid, peer.pid == 0 ? peer.uid : 0};
}

std::string_view Connections::add(const std::shared_ptr<Connection>& connection) {
  const std::lock_guard lock(mutex_);
  if (connections_.size() >= kMaxConnections) return "too many connections";
  const Client& client = connection->client();
  Share& share = shares_[process_of(client.process)];
  if (!client.address.empty() && share.connections >= kMaxRemote) return "too many TCP connections";
  if (share.connections >= kMaxPerProcess) return "too many connections of one process";
  connections_.emplace(connection->id(), Entry{connection, share});
  ++share.connections;
  return {};
}

std::shared_ptr<Connection> Connections::find(std::uint64_t id) const {
  const std::lock_guard lock(mutex_);
  const auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second.connection;
}

void Connections::remove(std::uint64_t id) {
  std::shared_ptr<Connection> last;  // destroyed without the lock
  const std::lock_guard lock(mutex_);
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Entry& entry = found->second;
  last = std::move(entry.connection);
  if (entry.unfinished) --entry.share.unfinished;
  if (--entry.share.connections == 0) shares_.erase(process_of(last->client().process));
  connections_.erase(found);
}

bool Connections::set_unfinished(std::uint64_t id, bool unfinished) {
  const std::lock_guard lock(mutex_);
  const auto found = connections_.find(id);
  if (found == connections_.end() || found->second.unfinished == unfinished) return true;
  Entry& entry = found->second;
  if (unfinished && entry.share.unfinished >= kMaxUnfinished) return false;
  unfinished ? ++entry.share.unfinished : --entry.share.unfinished;
  entry.unfinished = unfinished;
  return true;
}

std::vector<std::shared_ptr<Connection>> Connections::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Connection>> all;
  all.reserve(connections_.size());
  for (const auto& [id, entry] : connections_) all.push_back(entry.connection);
  return all;
}

std::size_t Connections::count() const {
  const std::lock_guard lock(mutex_);
  return connections_.size();
}

Connection::Connection(std::uint64_t id, FileDescriptor socket, const Codec& codec,
                       const ServeContext& context, Connections& connections, std::string address,
                       const TlsContext* tls)
    : id_(id),
      socket_(std::move(socket)),
      codec_(codec),
      context_(context),
      connections_(connections),
      tls_(tls == nullptr ? nullptr : std::make_unique<TlsSession>(*tls, socket_.get())),
      client_{.address = std::move(address)} {
  socklen_t size = sizeof client_.process;
  ::getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &client_.process, &size);
}

void Connection::log(Level level, std::string_view event, std::string_view reason,
                     Field more) const {
  const ucred& process = client_.process;
  if (client_.address.empty()) {
    log_event(level, event, {{"pid", process.pid}, {"uid", process.uid}, more, {"reason", reason}});
  } else {
    log_event(level, event, {{"peer", client_.address}, more, {"reason", reason}});
  }
}

ssize_t Connection::receive(std::span<char> buffer) {
  return tls_ != nullptr ? tls_->receive(buffer)
                         : ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
}

ssize_t Connection::transmit(std::string_view bytes) {
  return tls_ != nullptr
             ? tls_->send(bytes)
             : ::send(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

// Single-flight: the thread that finds the connection idle serves it until no events are left.
Connection::Next Connection::post(std::uint32_t events) {
  if ((events_.fetch_or(events | kBusy) & kBusy) != 0) return {};
  const bool had_blocked = has_blocked_;
  Turn turn = Turn::starved;
  for (std::uint32_t idle = kBusy; !events_.compare_exchange_strong(idle, 0); idle = kBusy) {
    turn = work(events_.exchange(kBusy));
  }
  return {.turn = turn == Turn::spent, .room = has_blocked_ && !had_blocked};
}

bool Connection::is_overdue(Clock::time_point now) const {
  const auto since = Clock::time_point(Clock::duration(unfinished_since_.load()));
  return since != Clock::time_point() && now - since >= kRequestTime;
}

// Serves buffered and new input, one turn. The edge for more input comes only after all input was
// read: a recv() that fills less than the chunk has read all. TLS returns record by record.
Connection::Turn Connection::work(std::uint32_t events) {
  if (closed_) return Turn::ended;
  hung_up_ = hung_up_ || (events & kHangup) != 0;
  if ((events & kOverdue) != 0) {
    disconnect(handshaking()     ? "TLS handshake not finished in time"
               : output_.empty() ? "request not finished in time"
                                 : "reply not read in time");
    return Turn::ended;
  }
  if (const Turn turn = flush(); turn != Turn::starved) return turn;
  std::string_view input = buffer_;
  int left = kTurn;
  for (bool drained = false;;) {
    const Turn turn = serve(input, left);
    if (turn == Turn::ended) return turn;
    keep_unserved(input);
    if (turn != Turn::starved) return turn;
    if (drained) return wait_for_more();
    const ssize_t n = receive(chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return wait_for_more();
    if (n < 0) fail_transport();
    if (n == 0) close();
    if (n <= 0) return Turn::ended;
    const std::string_view fresh(chunk.data(), static_cast<std::size_t>(n));
    drained = fresh.size() < chunk.size() && !hung_up_ && tls_ == nullptr;
    if (buffer_.empty()) {
      input = fresh;
    } else {
      input = buffer_.append(fresh);
    }
  }
}

// Keeps unserved input in buffer_, before the next recv() overwrites the chunk. `input` views the
// end of buffer_, or of the chunk if buffer_ is empty.
void Connection::keep_unserved(std::string_view& input) {
  if (input.empty()) {
    std::string().swap(buffer_);  // an idle client costs no buffer
  } else if (buffer_.empty()) {
    buffer_ = input;
  } else {
    buffer_.erase(0, buffer_.size() - input.size());
  }
  input = buffer_;
}

Connection::Turn Connection::wait_for_more() {
  if (tls_ != nullptr && tls_->wants_room()) has_blocked_ = true;
  if (note_unfinished(handshaking() || !buffer_.empty())) return Turn::starved;
  disconnect("too many unfinished requests of one process");
  return Turn::ended;
}

// Serves complete requests at the front of `input` and removes them, `left` at most.
Connection::Turn Connection::serve(std::string_view& input, int& left) {
  for (;; --left) {
    input.remove_prefix(std::min(input.find_first_not_of(codec_.between), input.size()));
    if (input.empty()) return Turn::starved;
    if (left == 0) return Turn::spent;
    const Extent frame = codec_.frame(input, first_);
    if (frame.state == Extent::State::incomplete) return Turn::starved;
    if (frame.state == Extent::State::malformed) {
      if (send(codec_.refuse(input)) != Turn::ended) disconnect("malformed message");
      return Turn::ended;
    }
    first_ = false;
    static_cast<void>(note_unfinished(false));
    const Turn turn = answer(input.substr(0, frame.size));
    input.remove_prefix(frame.size);
    if (turn != Turn::starved) return turn;
  }
}

Connection::Turn Connection::answer(std::string_view message) {
  ServeResult answer = codec_.serve(message, context_);
  if (!answer.refused.empty()) {
    log(Level::warning, "control-refused", answer.refused, {"message", message});
  }
  last_ = answer.close;
  return send(std::move(answer.reply));
}

Connection::Turn Connection::send(std::string reply) {
  if (reply.size() > kSingleSkb) grow_send_buffer();
  output_ = std::move(reply);
  return flush();
}

// Sends the rest of a reply. Turn::starved: all of it was sent.
Connection::Turn Connection::flush() {
  std::string_view rest = output_;
  while (!rest.empty()) {
    const ssize_t n = transmit(rest);
    if (n > 0) rest.remove_prefix(static_cast<std::size_t>(n));
    if (n >= 0 || errno == EINTR) continue;
    if (errno != EAGAIN) {
      fail_transport();
      return Turn::ended;
    }
    if (!send_buffer_grown_) {
      grow_send_buffer();
      continue;
    }
    output_.erase(0, output_.size() - rest.size());
    blocked_ = has_blocked_ = true;
    if (note_unfinished(true)) return Turn::blocked;
    disconnect("too many unread replies of one process");
    return Turn::ended;
  }
  if (!output_.empty()) std::string().swap(output_);
  if (std::exchange(blocked_, false)) static_cast<void>(note_unfinished(false));
  if (!last_) return Turn::starved;
  close();
  return Turn::ended;
}

// Makes room for the longest reply beside some unread ones; the kernel caps the size. Done on
// demand: few connections need it, and most last for one request.
void Connection::grow_send_buffer() {
  if (std::exchange(send_buffer_grown_, true)) return;
  const int send_buffer = 1 << 20;
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
}

// False: the process has too many unfinished requests already.
bool Connection::note_unfinished(bool unfinished) {
  if (unfinished == (unfinished_since_ != 0)) return true;
  if (!connections_.set_unfinished(id_, unfinished)) return false;
  unfinished_since_ = unfinished ? Clock::now().time_since_epoch().count() : 0;
  return true;
}

// The client is gone, or it broke TLS.
void Connection::fail_transport() {
  if (tls_ == nullptr) return close();
  disconnect(tls_->fault());
}

void Connection::disconnect(std::string_view reason) {
  if (closed_) return;
  ++connections_.disconnected;
  log(Level::warning, "control-disconnected", reason);
  close();
}

void Connection::close() {
  if (!closed_.exchange(true)) connections_.remove(id_);
}

}  // namespace millrace

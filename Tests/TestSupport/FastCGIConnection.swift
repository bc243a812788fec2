import Foundation

/// Where a daemon listens.
package enum Endpoint: Sendable, Hashable {
    /// A path, or a name in the abstract namespace with a zero byte in front.
    case unix(String)
    /// A numeric IPv4 or IPv6 address, and a port.
    case tcp(String, UInt16)
}

/// The result of a read.
package enum ReadResult: Equatable, Sendable {
    case bytes([UInt8])
    /// The peer has closed its side in good order.
    case end
    /// The peer has reset the connection.
    case reset
}

/// A client's connection: blocking in effect, yet every call ends before its deadline.
package final class FastCGIConnection {
    private let descriptor: Int32
    private var received: [UInt8] = []
    /// How many of these have been taken.
    private var taken = 0
    private var isClosed = false

    /// Connects.
    ///
    /// - Throws: ``TestFailure`` when the address is refused, or not accepted within `limit`.
    package init(_ endpoint: Endpoint, within limit: Duration = patience) throws {
        let deadline = Deadline(in: limit)
        let (family, address) = try endpoint.socketAddress()
        descriptor = socket(
            family,
            Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue),
            0
        )
        guard descriptor >= 0 else { throw TestFailure.systemCall("socket") }
        while true {
            let result = address.withUnsafeBytes { raw in
                raw.withMemoryRebound(to: sockaddr.self) { pointer in
                    connect(descriptor, pointer.baseAddress, socklen_t(raw.count))
                }
            }
            if result == 0 || errno == EISCONN { return }
            switch errno {
            case EINPROGRESS, EALREADY: try waitFor(POLLOUT, deadline, "connect")
            // A Unix socket whose backlog is full offers nothing to wait for.
            case EAGAIN where !deadline.hasPassed: poll(nil, 0, 3)
            default: throw TestFailure.systemCall("connect to \(endpoint)")
            }
        }
    }

    deinit {
        close()
    }

    /// Closes the connection, unless it is.
    package func close() {
        guard !isClosed else { return }
        isClosed = true
        Glibc.close(descriptor)
    }

    /// Closes with a reset: what the peer has sent and sends is thrown away.
    package func abort() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    /// Gives this end of a Unix connection a name.
    ///
    /// - Parameter path: Of a file that does not exist.
    /// - Throws: ``TestFailure``.
    package func name(_ path: String) throws {
        let (_, address) = try Endpoint.unix(path).socketAddress()
        let result = address.withUnsafeBytes { raw in
            raw.withMemoryRebound(to: sockaddr.self) {
                bind(descriptor, $0.baseAddress, socklen_t(raw.count))
            }
        }
        guard result == 0 else { throw TestFailure.systemCall("bind \(path)") }
    }

    /// Says that nothing more will be sent.
    package func finishSending() {
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Sends all bytes.
    ///
    /// - Throws: ``TestFailure`` when the peer has gone, or does not take them within `limit`.
    package func send(_ bytes: [UInt8], within limit: Duration = patience) throws {
        let deadline = Deadline(in: limit)
        var offset = 0
        while offset < bytes.count {
            let count = bytes[offset...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count > 0 {
                offset += count
            } else if errno == EAGAIN {
                try waitFor(POLLOUT, deadline, "send")
            } else if errno != EINTR {
                throw TestFailure.systemCall("send")
            }
        }
    }

    /// Sends all bytes in pieces of `size`, each in a call of its own.
    package func send(_ bytes: [UInt8], inPiecesOf size: Int) throws {
        for start in stride(from: 0, to: bytes.count, by: size) {
            try send(Array(bytes[start..<min(start + size, bytes.count)]))
        }
    }

    /// Sends a request.
    package func send(_ request: FastCGIRequest) throws {
        try send(request.bytes)
    }

    /// Reads whatever there is, at least one byte.
    package func read(within limit: Duration = patience) throws -> ReadResult {
        let deadline = Deadline(in: limit)
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count > 0 { return .bytes(Array(buffer[..<count])) }
            if count == 0 { return .end }
            switch errno {
            case EAGAIN: try waitFor(POLLIN, deadline, "an answer")
            case EINTR: continue
            case ECONNRESET, EPIPE: return .reset
            default: throw TestFailure.systemCall("recv")
            }
        }
    }

    /// Reads until `text` has come, or the connection ends.
    ///
    /// - Returns: All bytes so far.
    package func read(until text: String, within limit: Duration = patience) throws -> [UInt8] {
        let deadline = Deadline(in: limit)
        let wanted = Array(text.utf8)
        var all: [UInt8] = []
        while all.firstRange(of: wanted) == nil {
            let left = Duration.milliseconds(Int64(deadline.millisecondsLeft))
            guard case .bytes(let bytes) = try read(within: left) else { break }
            all += bytes
        }
        return all
    }

    /// Whether something to read, or the end, comes within `limit`.
    package func isReadable(within limit: Duration) -> Bool {
        var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return taken < received.count || poll(&item, 1, Deadline(in: limit).millisecondsLeft) > 0
    }

    /// Reads until the peer closes or resets.
    ///
    /// - Returns: All bytes before that.
    @discardableResult
    package func readToEnd(within limit: Duration = patience) throws -> [UInt8] {
        let deadline = Deadline(in: limit)
        var all = Array(received[taken...])
        received = []
        taken = 0
        while case .bytes(let bytes) = try read(within: .milliseconds(Int64(deadline.millisecondsLeft))) {
            all += bytes
        }
        return all
    }

    /// Reads the next record; nil when the connection ends instead, be it in the midst of a record.
    package func readRecord(within limit: Duration = patience) throws -> Record? {
        let deadline = Deadline(in: limit)
        while true {
            if let record = takeRecord() { return record }
            let left = Duration.milliseconds(Int64(deadline.millisecondsLeft))
            guard case .bytes(let bytes) = try read(within: left) else { return nil }
            received.removeFirst(taken)
            taken = 0
            received += bytes
        }
    }

    private func takeRecord() -> Record? {
        guard let end = recordEnd(from: taken) else { return nil }
        let start = taken
        let length = Int(received[start + 4]) << 8 | Int(received[start + 5])
        let record = Record(
            received[start + 1],
            id: UInt16(received[start + 2]) << 8 | UInt16(received[start + 3]),
            Array(received[(start + 8)..<(start + 8 + length)])
        )
        taken = end
        return record
    }

    /// The end of the record that begins at `start`, if it is there in full.
    private func recordEnd(from start: Int) -> Int? {
        guard received.count >= start + 8 else { return nil }
        let length = Int(received[start + 4]) << 8 | Int(received[start + 5])
        let end = start + 8 + length + Int(received[start + 6])
        return received.count >= end ? end : nil
    }

    /// Sends a request again and again as fast as the peer takes it, and gathers what comes meanwhile.
    ///
    /// Returns when all answers are there: ``readResponse(within:)`` then gives one after the other. The request must
    /// keep the connection.
    package func flood(_ request: FastCGIRequest, times: Int, within limit: Duration = patience) throws {
        let deadline = Deadline(in: limit)
        let one = request.bytes
        let total = one.count * times
        var (sent, next, ended) = (0, taken, 0)
        // Several in one call: a debug build spends more on a call than on a request.
        let batch = Array(repeatElement(one, count: 64).joined())
        while ended < times {
            let event = sent < total ? POLLIN | POLLOUT : POLLIN
            try waitFor(event, deadline, "\(times - ended) of \(times) answers")
            if sent < total {
                let begin = sent % one.count
                let count = batch[begin..<min(batch.count, begin + total - sent)].withUnsafeBytes {
                    Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard count > 0 || errno == EAGAIN || errno == EINTR else {
                    throw TestFailure.systemCall("send")
                }
                sent += max(0, count)
            }
            guard isReadable() else { continue }
            guard case .bytes(let bytes) = try read(within: limit) else {
                throw TestFailure("the connection ended after \(ended) of \(times) answers")
            }
            received += bytes
            while let end = recordEnd(from: next) {
                if received[next + 1] == RecordKind.endRequest { ended += 1 }
                next = end
            }
        }
    }

    /// Whether the socket has something to read now.
    private func isReadable() -> Bool {
        var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&item, 1, 0) > 0
    }

    /// Reads records up to END_REQUEST or the end of the connection.
    ///
    /// - Throws: ``TestFailure`` when neither comes within `limit`.
    package func readResponse(within limit: Duration = patience) throws -> FastCGIResponse {
        let deadline = Deadline(in: limit)
        var response = FastCGIResponse()
        while let record = try readRecord(within: .milliseconds(Int64(deadline.millisecondsLeft))) {
            response.records.append(record)
            guard record.kind == RecordKind.endRequest else { continue }
            guard record.content.count == 8 else {
                throw TestFailure("END_REQUEST of \(record.content.count) bytes")
            }
            response.applicationStatus = record.content[..<4].reduce(0) { $0 << 8 | UInt32($1) }
            response.protocolStatus = record.content[4]
            break
        }
        return response
    }

    /// Reads the answer to the only request on this connection, and closes it.
    ///
    /// Until the client closes, php-fpm holds the worker.
    package func finalResponse(within limit: Duration = patience) throws -> FastCGIResponse {
        defer { close() }
        return try readResponse(within: limit)
    }

    private func waitFor(_ event: Int32, _ deadline: Deadline, _ what: String) throws {
        var item = pollfd(fd: descriptor, events: Int16(event), revents: 0)
        while poll(&item, 1, deadline.millisecondsLeft) < 1 {
            if deadline.hasPassed { throw TestFailure("waited in vain for \(what)") }
        }
    }
}

extension Endpoint {
    /// The address family and the bytes of the socket address.
    func socketAddress() throws -> (family: Int32, bytes: [UInt8]) {
        switch self {
        case .unix(let path):
            guard path.utf8.count < 108 else { throw TestFailure("socket path too long: \(path)") }
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
            let bytes = withUnsafeBytes(of: address) { Array($0) }
            // The length is part of a name in the abstract namespace.
            let end = MemoryLayout<sa_family_t>.size + path.utf8.count
            return (AF_UNIX, path.hasPrefix("\0") ? Array(bytes[..<end]) : bytes)
        case .tcp(let host, let port) where host.contains(":"):
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            guard inet_pton(AF_INET6, host, &address.sin6_addr) == 1 else {
                throw TestFailure("bad address \(host)")
            }
            return (AF_INET6, withUnsafeBytes(of: address) { Array($0) })
        case .tcp(let host, let port):
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            guard inet_pton(AF_INET, host, &address.sin_addr) == 1 else {
                throw TestFailure("bad address \(host)")
            }
            return (AF_INET, withUnsafeBytes(of: address) { Array($0) })
        }
    }
}

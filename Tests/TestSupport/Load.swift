import Foundation
import Synchronization

/// Clients that send the same request again and again, each on threads of its own, until told to stop.
package final class Load: Sendable {
    /// What became of the requests so far.
    package struct Totals: Sendable, CustomStringConvertible {
        /// Answered as expected.
        package var good = 0
        /// Answered in full, with something else: an error page.
        package var refused = 0
        /// Not answered in full.
        package var lost = 0
        /// Connections that were not even accepted.
        package var unconnected = 0
        /// How long the good ones took, unsorted.
        package var times: [Duration] = []
        /// What the first few that were not good came to.
        package var examples: [String] = []

        /// Everything but the good ones.
        package var failed: Int { refused + lost + unconnected }

        /// The time that this share of the good requests stayed below, such as 0.99.
        package func quantile(_ share: Double) -> Duration {
            let sorted = times.sorted()
            return sorted.isEmpty ? .zero : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
        }

        package var description: String {
            "\(good) good, \(refused) refused, \(lost) lost, \(unconnected) not connected \(examples)"
        }
    }

    private struct State {
        var totals = Totals()
        var running = 0
    }

    private let state = Mutex(State())
    private let isStopping = Atomic(false)
    private let endpoint: Endpoint
    private let bytes: [UInt8]
    private let expected: [UInt8]
    private let keepsConnections: Bool
    private let limit: Duration

    /// Starts `clients` clients.
    ///
    /// - Parameters:
    ///   - request: What each sends.
    ///   - endpoint: Where to.
    ///   - expected: Text that a good answer contains.
    ///   - clients: How many requests are under way at a time.
    ///   - limit: How long an answer may take.
    package init(
        _ request: FastCGIRequest,
        to endpoint: Endpoint,
        expecting expected: String,
        clients: Int,
        within limit: Duration = patience
    ) {
        self.endpoint = endpoint
        self.expected = Array(expected.utf8)
        self.limit = limit
        keepsConnections = request.keepsConnection
        bytes = request.bytes
        state.withLock { $0.running = clients }
        for _ in 0..<clients {
            Thread.detachNewThread { [self] in
                while !isStopping.load(ordering: .relaxed) { runConnection() }
                state.withLock { $0.running -= 1 }
            }
        }
    }

    /// What became of the requests so far.
    package var totals: Totals { state.withLock { $0.totals } }

    /// Waits until `count` more requests have had their answer.
    package func waitForGood(_ count: Int, within limit: Duration = patience) throws {
        let goal = totals.good + count
        try wait(for: "\(count) more answers; so far \(totals)", within: limit) { totals.good >= goal }
    }

    /// Lets the requests under way end, and tells what became of all.
    package func stop() throws -> Totals {
        isStopping.store(true, ordering: .relaxed)
        try wait(for: "clients to end", within: limit + .seconds(5)) { state.withLock { $0.running == 0 } }
        return totals
    }

    /// Forgets the requests so far.
    package func reset() { state.withLock { $0.totals = Totals() } }

    private func runConnection() {
        let connection: FastCGIConnection
        do { connection = try FastCGIConnection(endpoint, within: limit) } catch {
            state.withLock { state in
                state.totals.unconnected += 1
                if state.totals.examples.count < 5 { state.totals.examples.append("\(error)") }
            }
            poll(nil, 0, 1)
            return
        }
        var isFirst = true
        repeat {
            let start = ContinuousClock.now
            var response = FastCGIResponse()
            var complaint = ""
            do {
                try connection.send(bytes)
                response = try connection.readResponse(within: limit)
            } catch { complaint = "\(error)" }
            // As web servers do: a kept connection that ends before a byte of the answer is tried once more on a new one.
            if !isFirst, !response.isComplete, response.records.isEmpty,
                complaint.isEmpty || complaint.hasPrefix("send")
            {
                return
            }
            isFirst = false
            note(response, complaint, ContinuousClock.now - start)
            if !response.isComplete { return }
        } while keepsConnections && !isStopping.load(ordering: .relaxed)
    }

    private func note(_ response: FastCGIResponse, _ complaint: String, _ time: Duration) {
        let output = response.output
        let isGood = response.isComplete && output.firstRange(of: expected) != nil
        state.withLock { state in
            if isGood {
                state.totals.good += 1
                return state.totals.times.append(time)
            }
            if response.isComplete { state.totals.refused += 1 } else { state.totals.lost += 1 }
            guard state.totals.examples.count < 5 else { return }
            state.totals.examples.append(
                "\(complaint) \(String(decoding: output.prefix(120), as: UTF8.self))"
            )
        }
    }
}

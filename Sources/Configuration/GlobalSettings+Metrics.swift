extension GlobalSettings {
    /// The metrics listener as if it were a pool's: address and permissions; nil when there is none.
    public var metricsListenerSettings: PoolSettings? {
        guard let address = metricsListenText, !address.isEmpty else { return nil }
        var settings = PoolSettings(name: "metrics")
        settings.listenText = address
        // Blanks around the commas are no part of an address here.
        settings.listenAllowedClients = metricsAllowedClients.map { clients in
            ByteString(clients.bytes.filter { $0 != UInt8(ascii: " ") && $0 != 9 })
        }
        return settings
    }
}

extension Evaluation {
    /// Expands a path, and refuses what can never be bound, or is a pool's.
    mutating func evaluateMetrics() throws(Refusal) {
        guard let text = global.metricsListenText, !text.isEmpty else {
            global.metricsListenText = nil
            return
        }
        switch ListenAddress(text) {
        case .unix(let path): global.metricsListenText = expandGlobal(path)
        case .port, .host: break
        case .invalidPort(let port):
            throw refuse(.error, "metrics.listen '\(text)': '\(port)' is not a port, expected 1 to 65535")
        }
    }

    /// The pools' addresses are known.
    mutating func checkMetricsAddress() throws(Refusal) {
        guard let text = global.metricsListenText,
            let pool = pools.first(where: { $0.settings.listenText == text })
        else { return }
        throw refuse(.error, "metrics.listen '\(text)' is an address of pool '\(pool.settings.name)'")
    }
}
